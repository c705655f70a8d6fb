"""The command ``segmend``, also as ``python -m segmend``: settles what must be settled before torch is loaded."""

import os


def main() -> None:
    """Entry point.

    Threads of OpenMP sleep while they wait for each other, unless the environment says otherwise: by default they
    spin, and where other programs take the cores they spin in vain.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from segmend.cli import main as run

    run()


if __name__ == "__main__":
    main()
