"""Mutants of `docs/making`."""

SITE = "tests/docs/test_site.py"

MUTANTS = (
    (
        "site-anchors", "docs/making/links.py",
        "return unquote(fragment) in _page(page).anchors",
        "return page.exists()",
        f"{SITE}::test_links_that_lead_nowhere_are_found",
    ),
    (
        "site-hosts", "docs/making/links.py",
        "if urlsplit(link).netloc:",
        "if not urlsplit(link).scheme:",
        f"{SITE}::test_links_that_lead_nowhere_are_found",
    ),
    (
        "formula-digits", "docs/making/formulas.py",
        "[token[0], token[1:]]",
        "[token[1:], token[0]]",
        f"{SITE}::test_formulas",
    ),
    (
        "formula-scripts", "docs/making/formulas.py",
        "{base}{below}{over}",
        "{base}{over}{below}",
        f"{SITE}::test_formulas",
    ),
)  # fmt: skip
