"""`python -m tiedlm` is the `tiedlm` command."""

from tiedlm.cli import main

if __name__ == "__main__":
    main()
