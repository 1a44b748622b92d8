"""`python -m archaudit.worker ORDER`: started by the client, not by people."""

from __future__ import annotations

import sys

from archaudit.worker.supervise import main

main(sys.argv[1:])
