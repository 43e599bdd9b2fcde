"""Rules of environments whose moves have densities.

Nothing can be listed here, so moves are sampled with policies whose outputs are random functions of
the state, and what must be equal is compared as means of bounded numbers: a check that noise
could fail does so beyond six standard errors. Four kinds of comparison find most mistakes:

- one law with two outputs: where what is drawn from either has the ratio of the two densities,
  `sample` and `log_prob` are of one law (`law_rules`);
- one law alone: the mean of 1 / density over draws that fall into a small ball is its length,
  area or volume (`measure_rules`);
- both laws: an object's trajectory drawn by P_B and the one by which P_F reached it can be
  exchanged, up to the ratio of their log-probabilities (`ratio_rules`);
- log Z, where it is known: it is the mean of R P_B / P_F (`ratio_rules`).
"""
