"""`python -m archaudit.worker ORDER`: started by the client, not by people."""

from __future__ import annotations

import sys

from archaudit.worker.serve import main

main(sys.argv[1:])
