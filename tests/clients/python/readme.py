import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm

credential = DefaultAzureCredential()
keys = KeyClient(os.environ["HSM_URL"], credential)
signer = CryptographyClient(keys.get_key("sign-ec"), credential)
signature = signer.sign(SignatureAlgorithm.es256, bytes(32)).signature
