"""Verifies recorded webhook requests with the official Standard Webhooks library.

    verify.py FOLDER

Each request is two files: NAME.json ({"headers": {...}, "secrets": [...]}) and NAME.body (the bytes as they came). Every
secret must accept the request; a changed body and a foreign secret must be refused, or the check would prove nothing.
"""

import json
import pathlib
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

FOREIGN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def refuses(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


def main(folder):
    requests = verified = 0
    for head in sorted(pathlib.Path(folder).glob("*.json")):
        request = json.loads(head.read_text())
        body, headers = head.with_suffix(".body").read_bytes(), request["headers"]
        for secret in request["secrets"]:
            try:
                Webhook(secret).verify(body, headers)
            except WebhookVerificationError as error:
                sys.exit(f"{head.stem}: refused: {error}; headers {headers}")
            if not refuses(secret, body + b" ", headers):
                sys.exit(f"{head.stem}: a changed body is accepted")
            verified += 1
        if not refuses(FOREIGN, body, headers):
            sys.exit(f"{head.stem}: a foreign secret is accepted")
        requests += 1
    print(f"{requests} requests, {verified} signatures verified")


if __name__ == "__main__":
    main(sys.argv[1])
