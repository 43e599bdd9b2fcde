r"""Formulas of docstrings as MathML, which browsers draw without scripts.

The part of LaTeX that the docstrings use: letters, numbers, signs, `^`, `_`, groups, `\frac`,
`\binom`, `\sqrt`, accents, `\text`, `\operatorname`, fonts, delimiters of any size, and lines
parted by `\\` with places to align at `&`. What is not known is refused by name.
"""

import re
from html import escape

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|[a-zA-Z]|\S")
LETTERS = dict(
    zip(
        "alpha beta gamma delta epsilon varepsilon eta theta kappa lambda mu nu pi rho sigma tau "
        "phi psi Gamma Delta Sigma ell".split(),
        "αβγδϵεηθκλμνπρστϕψΓΔΣℓ",
        strict=True,
    )
)
SIGNS = {
    "to": "→", "leftarrow": "←", "mid": "|", "|": "‖", "lVert": "‖", "rVert": "‖", "sim": "∼",
    "cdot": "·", "le": "≤", "ge": "≥", "ne": "≠", "in": "∈", "notin": "∉", "propto": "∝",
    "approx": "≈", "nabla": "∇", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    "angle": "∠", "emptyset": "∅", "dots": "…", "top": "⊤", "oplus": "⊕", "{": "{", "}": "}",
    "_": "_",
}  # fmt: skip
LARGE = {"sum": "∑", "prod": "∏", "bigcup": "⋃"}
WORDS = {"log", "ln", "exp", "cos", "sin", "tanh"}
BELOW = {"max", "min"}
SPACES = {",": 0.17, ";": 0.28, " ": 0.33, "quad": 1, "qquad": 2}
ACCENTS = {"hat": "^", "widehat": "^", "tilde": "~", "bar": "¯", "overline": "¯"}
FONTS = {"mathrm": "normal", "mathbb": "double-struck", "mathcal": "script"}
DOUBLE = {"E": "𝔼", "R": "ℝ", "N": "ℕ", "P": "ℙ", "1": "𝟙"}
SIZES = {"left", "right", "big", "bigl", "bigr", "Big", "Bigl", "Bigr"}


def mathml(latex: str, display: bool = False) -> str:
    """A formula as a MathML element, its source kept for those who copy or hear it.

    Args:
        latex: The formula.
        display: On a line of its own.

    Raises:
        ValueError: If a command is not known or a group is not closed.
    """
    source = " ".join(latex.split())
    body = _Formula(source).whole(display)
    kind = ' display="block"' if display else ""
    # Stars, lines and bars in the text would be read as Markdown's.
    written = body.replace("*", "&#42;").replace("_", "&#95;").replace("|", "&#124;")
    label = escape(source).replace("*", "&#42;").replace("_", "&#95;").replace("|", "&#124;")
    label = label.replace("\\", "&#92;").replace("`", "&#96;").replace("[", "&#91;")
    return f'<math{kind} aria-label="{label}">{written}</math>'


class _Formula:
    """One formula, read from left to right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens: list[str] = TOKEN.findall(self._texts(source))
        self.at = 0

    def _texts(self, source: str) -> str:
        r"""Words in `\text` are set aside, since their spaces count."""
        self.texts: list[str] = []

        def aside(found: re.Match[str]) -> str:
            self.texts.append(found.group(1))
            return f"\\text{{{len(self.texts) - 1}}}"

        return re.sub(r"\\text\{([^{}]*)\}", aside, source)

    def whole(self, display: bool) -> str:
        """All of it: a table of lines where there are several."""
        rows: list[list[str]] = [[]]
        while self.at < len(self.tokens):
            rows[-1].append(self._row({"&", "\\\\"}))
            if self.at < len(self.tokens) and self._next() == "\\\\":
                rows.append([])
        if len(rows) == 1 and len(rows[0]) == 1:
            return f"<mrow>{rows[0][0]}</mrow>"
        lines = [
            "<mtr>" + "".join(
                f'<mtd style="text-align: {"left" if i else "right"}">{cell}</mtd>'
                for i, cell in enumerate(row)
            ) + "</mtr>"
            for row in rows
        ]  # fmt: skip
        return f'<mtable displaystyle="true">{"".join(lines)}</mtable>'

    def _row(self, ends: set[str]) -> str:
        """Atoms with what stands above and below them, up to one of the ends."""
        made = []
        while self.at < len(self.tokens) and self.tokens[self.at] not in ends:
            made.append(self._scripted())
        return "".join(made)

    def _scripted(self) -> str:
        token = self.tokens[self.at]
        base = "<mrow></mrow>" if token in "^_'" else self._atom()
        marks: dict[str, str] = {}
        while self.at < len(self.tokens) and self.tokens[self.at] in ("^", "_", "'"):
            mark = self._next()
            if mark == "'":
                marks["^"] = marks.get("^", "") + "<mo>′</mo>"
            else:
                marks[mark] = marks.get(mark, "") + self._argument()
        if not marks:
            return base
        under = token[1:] in LARGE or token[1:] in BELOW or token == "\\operatorname"
        over, below = (f"<mrow>{marks[m]}</mrow>" if m in marks else "" for m in ("^", "_"))
        names = ("munder", "mover", "munderover") if under else ("msub", "msup", "msubsup")
        if over and below:
            return f"<{names[2]}>{base}{below}{over}</{names[2]}>"
        name = names[0] if below else names[1]
        return f"<{name}>{base}{below or over}</{name}>"

    def _atom(self) -> str:
        token = self._next()
        if token == "{":
            inner = self._row({"}"})
            if self._next() != "}":
                raise ValueError(f"A formula has a group that is not closed: {self.source}")
            return f"<mrow>{inner}</mrow>"
        if token.startswith("\\"):
            return self._command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        sign = {"-": "−"}.get(token, escape(token))
        stretch = ' stretchy="false"' if token in "()[]|/" else ""
        return f"<mo{stretch}>{sign}</mo>"

    def _argument(self) -> str:
        """A group, or one sign: of a number the first digit alone, as in LaTeX."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        if token[:1].isdigit() and len(token) > 1:
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
        return self._atom()

    def _command(self, name: str) -> str:
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in SIGNS:
            return f'<mo stretchy="false">{SIGNS[name]}</mo>'
        if name in LARGE:
            return f"<mo>{LARGE[name]}</mo>"
        if name in WORDS or name in BELOW:
            return (
                f"<mi>{name}</mi><mspace width='0.17em'/>" if name in WORDS else f"<mi>{name}</mi>"
            )
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}em"/>'
        if name in ("frac", "tfrac"):
            style = ' displaystyle="false"' if name == "tfrac" else ""
            made = f"<mfrac>{self._argument()}{self._argument()}</mfrac>"
            return f"<mstyle{style}>{made}</mstyle>" if style else made
        if name == "binom":
            inner = f'<mfrac linethickness="0">{self._argument()}{self._argument()}</mfrac>'
            return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"
        if name == "sqrt":
            return f"<msqrt>{self._argument()}</msqrt>"
        if name in ACCENTS:
            return f'<mover accent="true">{self._atom()}<mo>{ACCENTS[name]}</mo></mover>'
        if name == "text":
            self._next()
            words = self.texts[int(self._next())]
            self._next()
            return f"<mtext>{escape(words).replace(' ', '&#160;')}</mtext>"
        if name in FONTS or name == "operatorname":
            return self._font(name)
        if name in SIZES:
            return self._atom()
        raise ValueError(f"A formula has \\{name}, which docs/making/formulas.py does not know.")

    def _font(self, name: str) -> str:
        """A group of letters as one upright word, or in double strokes."""
        tokens = [self._next()]
        if tokens[0] == "{":
            tokens = []
            while self.tokens[self.at] != "}":
                tokens.append(self._next())
            self._next()
        word = "".join(" " if t == "\\ " else t for t in tokens)
        if name == "mathbb":
            word = "".join(DOUBLE[letter] for letter in word)
        kind = "" if name == "mathcal" else ' mathvariant="normal"'
        return f"<mi{kind}>{escape(word).replace(' ', '&#160;')}</mi>"

    def _next(self) -> str:
        if self.at >= len(self.tokens):
            raise ValueError(f"A formula ends too early: {self.source}")
        self.at += 1
        return self.tokens[self.at - 1]
