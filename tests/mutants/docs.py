"""Mutants of `docs/making`."""

SITE = "tests/docs/test_site.py"
BLOCKS = "tests/docs/test_blocks.py"

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
    (
        "block-tolerance", "docs/making/blocks.py",
        "0.02 + 0.25 * abs(float(b))",
        "0.02 + 2.5 * abs(float(b))",
        f"{BLOCKS}::test_what_agrees_with_a_page",
    ),
    (
        "block-keys", "docs/making/blocks.py",
        "list(json.loads(came)) == list(json.loads(expected))",
        "len(json.loads(came)) == len(json.loads(expected))",
        f"{BLOCKS}::test_what_agrees_with_a_page",
    ),
    (
        "block-more", "docs/making/blocks.py",
        'return "" if skipping or at == len(came)',
        'return "" if skipping or at <= len(came)',
        f"{BLOCKS}::test_what_agrees_with_a_page",
    ),
)  # fmt: skip
