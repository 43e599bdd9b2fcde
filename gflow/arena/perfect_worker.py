"""Scores of Connect-4 moves by BitBully: run as a script, by a Python that has it.

BitBully is under the AGPL. It is no part of gflow, which imports nothing of this file: the two talk
in lines of JSON through pipes. A line {"moves": [3, 3]} is answered by {"scores": {"0": -2, ...}},
for each legal column how many stones are to spare, above 0 for a win of who moves, or by
{"error": "..."}.
"""

import json
import sys


def main() -> None:
    """Answer one line after the other until the pipe is closed."""
    from bitbully import BitBully, Board

    agent = BitBully()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            board = Board.from_moves(json.loads(line)["moves"])
            found = agent.score_all_moves(board)
            answer: dict[str, object] = {"scores": {str(int(k)): int(v) for k, v in found.items()}}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
