"""`python -m tiedlm` is the `tiedlm` command."""

from tiedlm.cli.commands import main

if __name__ == "__main__":
    main()
