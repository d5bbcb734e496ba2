"""``python -m console`` is ``meshscope``."""

from console.cli import main

if __name__ == "__main__":
    main(prog_name="meshscope")
