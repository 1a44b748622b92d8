"""`python -m archaudit`."""

from archaudit.cli import run

if __name__ == "__main__":
    run()
