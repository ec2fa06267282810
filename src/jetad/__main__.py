"""``python -m jetad``: the same as the command ``jetad``, for launchers that start Python modules."""

from jetad_cli.main import main

if __name__ == "__main__":
    main()
