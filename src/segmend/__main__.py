"""The command ``segmend``, also as ``python -m segmend``."""

from segmend.process import keep_memory, sleep_while_waiting


def main() -> None:
    """Entry point."""
    sleep_while_waiting()
    keep_memory()
    from segmend.cli import main as run  # commands load torch, after this

    run()


if __name__ == "__main__":
    main()
