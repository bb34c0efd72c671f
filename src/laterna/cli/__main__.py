"""`python -m laterna.cli`: the same as `laterna`."""

from laterna.cli.main import main

if __name__ == "__main__":
    main()
