"""Lets ``python -m portinf`` run the command line."""

from portinf.cli.main import main

if __name__ == "__main__":
    main()
