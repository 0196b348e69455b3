"""`azure-keyvault-administration`: full backup and restore, both checks, and the restore of one key."""

import os

from azure.keyvault.administration import KeyVaultBackupClient
from azure.keyvault.keys import KeyClient

from report import check, passed


def walk(url, credential):
    container = os.environ["BACKUP_CONTAINER"]
    keys, client = KeyClient(url, credential), KeyVaultBackupClient(url, credential)
    made = keys.create_ec_key("backed-up", curve="P-256", hardware_protected=True)
    client.begin_pre_backup(container).result()
    passed("check before a backup")
    poller = client.begin_backup(container)
    check(poller.status() == "InProgress", poller.status())
    rebuilt = client.begin_backup(container, continuation_token=poller.continuation_token())
    folder = poller.result().folder_url
    check(folder.startswith(f"{container}/mhsm-") and rebuilt.result().folder_url == folder, folder)
    passed("full backup, also by a poller that was rebuilt")
    keys.create_ec_key("made-later", curve="P-256", hardware_protected=True)
    client.begin_pre_restore(folder).wait()
    passed("check before a restore")
    client.begin_restore(folder, key_name=made.name).wait()
    check(keys.get_key(made.name).id == made.id, made.id)
    passed("restore of one key that lives")
    client.begin_restore(folder).wait()
    names = {key.name for key in keys.list_properties_of_keys()}
    check(made.name in names and "made-later" not in names, names)
    passed("full restore")
