"""Rules of environments whose actions are numbered."""
