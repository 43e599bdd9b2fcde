"""`python -m gflow` is the command `gflow`."""

from gflow.cli.main import main

raise SystemExit(main())
