"""`python -m tiedlm` is the `tiedlm` command."""

from tiedlm.cli.main import main

if __name__ == "__main__":
    main()
