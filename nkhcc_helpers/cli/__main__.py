"""`python -m nkhcc_helpers.cli`."""

from nkhcc_helpers.cli import main

if __name__ == "__main__":
    main()
