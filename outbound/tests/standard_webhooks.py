"""Signs and verifies with the Standard Webhooks project's own library: a line of JSON in, a line of JSON out.

The first line out is the time, so that whoever asks can sign for this clock.
"""

import json
import sys
import time
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def answer(ask):
    webhook = Webhook(ask["secret"])
    if ask["do"] == "sign":
        at = datetime.fromtimestamp(ask["timestamp"], tz=timezone.utc)
        return {"signature": webhook.sign(ask["id"], at, ask["body"])}
    try:
        webhook.verify(ask["body"], ask["headers"])
        return {"verified": True}
    except WebhookVerificationError:
        return {"verified": False}


print(json.dumps({"now": int(time.time())}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
