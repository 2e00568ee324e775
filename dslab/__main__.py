"""`python3 -m dslab <command>`: sets up what is missing, then runs the command. See dslab/bootstrap.py."""

# Plain old syntax in this file: it must still parse on a Python that is too old, to be able to say so.
import sys


def main():  # type: ignore[no-untyped-def]
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.stderr.write(
            "dslab needs Python 3.11, 3.12 or 3.13; this is Python %d.%d.\n"  # noqa: UP031
            "Get one from https://www.python.org/downloads (or `uv python install 3.12`), then call it by its name,\n"
            "for example:  python3.12 -m dslab run    (Windows: py -3.12 -m dslab run)\n" % sys.version_info[:2]
        )
        sys.exit(2)
    from dslab import signals

    signals.quiet()
    from dslab import bootstrap

    sys.exit(bootstrap.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
