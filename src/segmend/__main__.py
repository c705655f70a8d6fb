"""The command ``segmend``, also as ``python -m segmend``."""

from segmend.process import keep_memory, wait_briefly


def main() -> None:
    """Entry point."""
    wait_briefly()
    keep_memory()
    from segmend.cli import main as run  # commands load torch, after this

    run()


if __name__ == "__main__":
    main()
