"""`python -P -m squall_guest`, with SQUALL_ASSIGNMENT naming the assignment to read."""

from squall_guest.boot import main

if __name__ == "__main__":
    main()
