"""`python -m archaudit.worker OPTIONS`: started by `pool`, not by users."""

from __future__ import annotations

import sys

from archaudit.worker.supervise import main

main(sys.argv[1:])
