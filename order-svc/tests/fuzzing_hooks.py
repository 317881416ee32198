"""A key names one request: each request that the fuzzer makes up gets a key of its own.

Without this a well-formed request is refused, rightly, because an earlier one had the document's example key. Keys that
are malformed on purpose stay as they are.
"""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,128}", key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
