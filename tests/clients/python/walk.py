"""Walks the operations that the official Python packages offer, with their checks left on.

    walk.py URL CREDENTIAL CHAPTER...

CREDENTIAL is a name of `credentials.CREDENTIALS`. One line is printed for each operation that did what it should; the
first that does not ends the program with its trace.
"""

import sys

import administration
import backup
import cryptography_client
import keys
from credentials import CREDENTIALS

CHAPTERS = {
    "administration": administration.walk,
    "whole": backup.walk,
    "backup": keys.back_up_and_restore,
    "cryptography": cryptography_client.walk,
    "import": keys.import_each_type,
    "keys": keys.walk,
    "random": keys.draw_random_bytes,
    "refusals": keys.be_refused_by_a_vault,
    "release": keys.attest_and_release,
    "rotation": keys.rotate,
    "signature": cryptography_client.sign_in_and_sign,
    "unread": cryptography_client.walk_unread,
}


def main():
    url, credential, chapters = sys.argv[1], CREDENTIALS[sys.argv[2]](), sys.argv[3:]
    for chapter in chapters:
        CHAPTERS[chapter](url, credential)


if __name__ == "__main__":
    main()
