"""Azurite over HTTPS: started, asked, and its log read."""

import base64
import collections
import hashlib
import hmac
import os
import pathlib
import re
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree

PATIENCE = 60.0

#: Azurite's documented account, and its key.
ACCOUNT = "devstoreaccount1"
KEY = base64.b64decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
CONTAINER = "device-uploads"


def sas(lifetime=3600.0):
    """A signature for the account that is valid for so many seconds; negative: that has expired."""
    fields = {
        "sv": "2018-11-09",
        "ss": "b",
        "srt": "sco",
        "sp": "rwdlac",
        "se": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lifetime)),
        "spr": "https",
    }
    signed = [ACCOUNT, fields["sp"], fields["ss"], fields["srt"], "", fields["se"], "", fields["spr"], fields["sv"], ""]
    signature = hmac.new(KEY, "\n".join(signed).encode(), hashlib.sha256).digest()
    return "?" + urllib.parse.urlencode({**fields, "sig": base64.b64encode(signature).decode()})


class Azurite:
    """A server of its own, with its data in `directory`."""

    def __init__(self, directory: pathlib.Path, certificate, ca_file: pathlib.Path):
        self._log = directory / "azurite.log"
        cert, key = directory / "cert.pem", directory / "key.pem"
        certificate.cert_chain_pems[0].write_to_path(str(cert))
        certificate.private_key_pem.write_to_path(str(key))
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [os.environ["AZURITE"], "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(directory)]
                + ["--cert", str(cert), "--key", str(key), "--disableTelemetry"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            listens = self.wait("it listens", lambda: re.search(r"listens on https://([\d.:]+)", self.log()))
            self.host = listens.group(1)
            self._ask("PUT", f"{CONTAINER}?restype=container").close()
        except BaseException:
            self.close()
            raise

    def close(self):
        self._process.kill()
        self._process.wait()

    def log(self):
        return self._log.read_text()

    def wait(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while True:
            result = condition()
            if result:
                return result
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
            time.sleep(0.02)

    def place(self, blob, signature):
        """What the hub answers to a device that asks where to upload to."""
        return {
            "correlationId": "correlation",
            "hostName": self.host,
            "containerName": f"{ACCOUNT}/{CONTAINER}",
            "blobName": blob,
            "sasToken": signature,
        }

    def content(self, blob):
        with self._ask("GET", f"{CONTAINER}/{blob}") as answer:
            return answer.read()

    def committed_blocks(self, blob):
        """How many blocks the blob is made of."""
        with self._ask("GET", f"{CONTAINER}/{blob}?comp=blocklist&blocklisttype=committed") as answer:
            return len(xml.etree.ElementTree.parse(answer).findall("CommittedBlocks/Block"))

    def writes(self):
        """How often each block was taken, by its id; and with what statuses all other writes were answered."""
        requests = re.findall(r'"PUT (/\S+) HTTP/1\.1" (\d+)', self.log())
        blocks, others = collections.Counter(), []
        for target, status in requests:
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
            if query.get("comp") == "block" and status == "201":
                blocks[query["blockid"]] += 1
            elif "restype" not in query:
                others.append((query.get("comp"), int(status)))
        return blocks, others

    def _ask(self, method, target):
        separator = "&" if "?" in target else "?"
        url = f"https://{self.host}/{ACCOUNT}/{target}{separator}{sas()[1:]}"
        return urllib.request.urlopen(
            urllib.request.Request(url, method=method, data=b"" if method == "PUT" else None),
            context=self._tls,
            timeout=PATIENCE,
        )
