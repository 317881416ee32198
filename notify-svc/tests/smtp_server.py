"""A real SMTP server, aiosmtpd, that keeps each mail which it takes as JSON, read by Python's own email package.

A recipient whose local part is a number is answered with that number: 451@example.com is put off, 550@example.com is
rejected. One that is called "greylisted" is put off once.
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    def __init__(self, folder):
        self.folder = folder
        self.kept = 0
        self.put_off = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "greylisted" and name not in self.put_off:
            self.put_off.add(name)
            return "450 4.7.1 come again later"
        if name.isdigit():
            return f"{name} as the address asks"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text, html = (mail.get_body([kind]) for kind in ("plain", "html"))
        kept = {
            "recipients": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": text.get_content(),
            "html": html.get_content(),
            "parts": [part.get_content_type() for part in mail.walk()],
            "defects": [repr(defect) for part in mail.walk() for defect in part.defects],
            "lines": envelope.content.decode("ascii").split("\r\n"),
            "is_encrypted": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "user": session.auth_data.login.decode() if session.authenticated else None,
        }
        self.kept += 1
        part = os.path.join(self.folder, f"{self.kept:06}.part")
        with open(part, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.rename(part, part.removesuffix("part") + "json")
        return "250 kept"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--starttls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--login", nargs=3, metavar=("MECHANISM", "USER", "PASSWORD"))
    options = parser.parse_args()

    settings = {"hostname": "aiosmtpd", "timeout": 60}
    if options.starttls:
        settings |= {"tls_context": context(options.starttls), "require_starttls": True}
    if options.login:
        mechanism, user, password = options.login
        others = {"PLAIN", "LOGIN"} - {mechanism}

        def authenticate(server, session, envelope, mechanism, data):
            is_right = (data.login, data.password) == (user.encode(), password.encode())
            return AuthResult(success=is_right, handled=False, auth_data=data)

        settings |= {
            "auth_required": True,
            "auth_require_tls": False,
            "auth_exclude_mechanism": others,
            "authenticator": authenticate,
        }
    keeper = Keeper(options.folder)
    loop = asyncio.get_running_loop()
    tls = context(options.tls) if options.tls else None
    server = await loop.create_server(lambda: SMTP(keeper, **settings), "127.0.0.1", options.port, ssl=tls)
    await server.serve_forever()


def context(certificate_and_key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate_and_key)
    return made


asyncio.run(main())
