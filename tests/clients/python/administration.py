"""`azure-keyvault-administration`: roles and settings."""

import uuid

from azure.core.exceptions import ResourceNotFoundError
from azure.keyvault.administration import (
    KeyVaultAccessControlClient,
    KeyVaultDataAction,
    KeyVaultPermission,
    KeyVaultRoleScope,
    KeyVaultSetting,
    KeyVaultSettingsClient,
)

from report import check, passed


def walk(url, credential):
    access = KeyVaultAccessControlClient(url, credential)
    role = walk_role_definitions(access)
    walk_role_assignments(access, role)
    access.delete_role_definition(KeyVaultRoleScope.GLOBAL, role.name)
    check(role.name not in {it.name for it in access.list_role_definitions(KeyVaultRoleScope.GLOBAL)}, "it is gone")
    passed("delete role definition")
    walk_settings(KeyVaultSettingsClient(url, credential))


def walk_role_definitions(access):
    scope = KeyVaultRoleScope.GLOBAL
    built_in = list(access.list_role_definitions(scope))
    check(any(role.role_name == "Managed HSM Crypto User" for role in built_in), "the built-in roles are there")
    passed("list role definitions")
    name = str(uuid.uuid4())
    permission = KeyVaultPermission(data_actions=[KeyVaultDataAction.SIGN_HSM_KEY])
    made = access.set_role_definition(
        scope, name=name, role_name="Walk signer", description="signs", permissions=[permission]
    )
    check(made.name == name and made.permissions[0].data_actions == permission.data_actions, made.name)
    passed("create role definition")
    permission.data_actions.append(KeyVaultDataAction.VERIFY_HSM_KEY)
    access.set_role_definition(scope, name=name, role_name="Walk signer", permissions=[permission])
    passed("update role definition")
    read = access.get_role_definition(scope, name)
    check(len(read.permissions[0].data_actions) == 2 and read.role_type == "CustomRole", read.role_type)
    passed("get role definition")
    return read


def walk_role_assignments(access, role):
    scope, principal = KeyVaultRoleScope.KEYS, str(uuid.uuid4())
    made = access.create_role_assignment(scope, role.id, principal)
    check(made.properties.principal_id == principal and made.properties.role_definition_id == role.id, made.properties)
    passed("create role assignment")
    check(access.get_role_assignment(scope, made.name).properties.scope == scope, "it is at /keys")
    passed("get role assignment")
    check(made.name in {it.name for it in access.list_role_assignments(scope)}, "it is listed")
    passed("list role assignments")
    access.delete_role_assignment(scope, made.name)
    try:
        access.get_role_assignment(scope, made.name)
        raise AssertionError("a deleted assignment is gone")
    except ResourceNotFoundError:
        passed("delete role assignment")


def walk_settings(client):
    name = "AllowKeyManagementOperationsThroughARM"
    check(name in {setting.name for setting in client.list_settings()}, "the setting is listed")
    passed("list settings")
    check(client.get_setting(name).getboolean() is False, "it is off at first")
    passed("get setting")
    for value in (True, False):
        changed = client.update_setting(KeyVaultSetting(name, value, "boolean"))
        check(changed.getboolean() is value and client.get_setting(name).getboolean() is value, value)
    passed("update setting")
