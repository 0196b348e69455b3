#!/usr/bin/env bash
#
# disaster-recovery.sh - the published runbook for the loss of a managed HSM, in its own commands and their order.
#
# Nothing here is special to strongroom: the Azure CLI is unmodified, the blob store is any that speaks as Azure's. Run it
# in a session that `az-env.sh` has set up, signed in as somebody who may assign roles; `operator_signs_in` must be a
# function or a program that does so again.
#
#   SUBSCRIPTION_ID, RESOURCE_GROUP, LOCATION
#   OPERATOR_ID        object id of who is signed in
#   MACHINE_ID         object id of the managed identity that `az login --identity` signs in
#   STORAGE_ACCOUNT    a name that the server's configuration binds to a blob store
#   STRONGROOM_AZ      the az program; default: az
#
# It works in the current folder, says what it does on standard error, and ends with 0 only if the second HSM does what the
# first one did.

set -euo pipefail

: "${SUBSCRIPTION_ID:?}" "${RESOURCE_GROUP:?}" "${LOCATION:?}" "${OPERATOR_ID:?}" "${MACHINE_ID:?}" "${STORAGE_ACCOUNT:?}"

az() { command "${STRONGROOM_AZ:-az}" "$@" --only-show-errors; }
step() { printf '\n== %s\n' "$*" >&2; }
fail() { printf 'disaster-recovery: %s\n' "$*" >&2; exit 1; }

# Runs a command that must fail with a message that matches.
refused() {
    local pattern=$1 said
    shift
    if said=$("$@" 2>&1); then fail "it should have been refused: $*"; fi
    grep -qiE -- "$pattern" <<<"$said" || fail "the refusal does not say $pattern: $said"
}

FIRST=ContosoMHSM
SECOND=ContosoMHSM2
CONTAINER=mhsmbackups
DIGEST=CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=
PLAINTEXT=QmVmb3JlIHRoZSBkaXNhc3Rlcg==

step 'A managed HSM, activated with three custodians, any two of whom can recover it'
for number in 0 1 2; do
    openssl req -newkey rsa:2048 -nodes -keyout "cert_$number.key" -x509 -days 365 -out "cert_$number.cer" \
        -subj "/CN=custodian $number" 2>/dev/null
done
az keyvault create --hsm-name $FIRST --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --retention-days 7 \
    --administrators "$OPERATOR_ID" "$MACHINE_ID" --output none
az keyvault security-domain download --hsm-name $FIRST --sd-wrapping-keys ./cert_0.cer ./cert_1.cer ./cert_2.cer \
    --sd-quorum 2 --security-domain-file $FIRST-SD.json --output none

step 'Keys in it, and something that they did'
for role in 'Managed HSM Crypto User' 'Managed HSM Crypto Officer'; do
    az keyvault role assignment create --hsm-name $FIRST --role "$role" --assignee-object-id "$MACHINE_ID" \
        --assignee-principal-type ServicePrincipal --scope / --output none
done
STORAGE_ID=/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$RESOURCE_GROUP/providers/Microsoft.Storage/storageAccounts/$STORAGE_ACCOUNT
az role assignment create --assignee-object-id "$MACHINE_ID" --assignee-principal-type ServicePrincipal \
    --role Contributor --scope "/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$RESOURCE_GROUP" --output none

az login --identity --output none
az keyvault key create --hsm-name $FIRST --name signing --kty EC-HSM --curve P-256 --output none
az keyvault key create --hsm-name $FIRST --name sealing --kty RSA-HSM --size 2048 --output none
az keyvault key create --hsm-name $FIRST --name wrapping --kty oct-HSM --size 256 --output none
CIPHERTEXT=$(az keyvault key encrypt --hsm-name $FIRST --name sealing --algorithm RSA-OAEP-256 \
    --data-type base64 --value $PLAINTEXT --query result --output tsv)
mapfile -t SEALED < <(az keyvault key encrypt --hsm-name $FIRST --name wrapping --algorithm A256GCM \
    --data-type base64 --value $PLAINTEXT --query '[result, iv, tag]' --output tsv)
OLD_SIGNATURE=$(az keyvault key sign --hsm-name $FIRST --name signing --algorithm ES256 --digest $DIGEST \
    --query signature --output tsv)

step 'A place for backups, and a managed identity that may write there'
az storage account create --name "$STORAGE_ACCOUNT" --resource-group "$RESOURCE_GROUP" --location "$LOCATION" \
    --sku Standard_LRS --kind StorageV2 --output none
CONNECTION=$(az storage account show-connection-string --name "$STORAGE_ACCOUNT" --resource-group "$RESOURCE_GROUP" \
    --query connectionString --output tsv)
az storage container create --name $CONTAINER --connection-string "$CONNECTION" --output none
IDENTITY=$(az identity create --name mhsm-backup --resource-group "$RESOURCE_GROUP" --location "$LOCATION" \
    --query id --output tsv)
az keyvault update-hsm --hsm-name $FIRST --resource-group "$RESOURCE_GROUP" --mi-user-assigned "$IDENTITY" --output none
backup() {
    az keyvault backup start --hsm-name "$1" --use-managed-identity true --storage-account-name "$STORAGE_ACCOUNT" \
        --blob-container-name $CONTAINER "${@:2}"
}
refused "Storage Blob Data Contributor" backup $FIRST
# Only who may assign roles can give it one.
operator_signs_in
az role assignment create --role 'Storage Blob Data Contributor' --scope "$STORAGE_ID" --output none \
    --assignee-object-id "$(az identity show --ids "$IDENTITY" --query principalId --output tsv)" \
    --assignee-principal-type ServicePrincipal
az login --identity --output none

step 'The backup'
backup $FIRST --output none
FOLDER=$(az storage blob list --container-name $CONTAINER --connection-string "$CONNECTION" --query '[].name' \
    --output tsv | awk -F'/' '{print $1}' | sort -u)
[[ $FOLDER == mhsm-* && $FOLDER != *$'\n'* ]] || fail "one folder was expected: $FOLDER"

step 'The disaster: a second HSM, not activated, gets the security domain of the first one'
az keyvault create --hsm-name $SECOND --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --retention-days 7 \
    --administrators "$OPERATOR_ID" "$MACHINE_ID" --output none
az keyvault security-domain init-recovery --hsm-name $SECOND --sd-exchange-key exchange.cer --output none
upload() {
    az keyvault security-domain upload --hsm-name $SECOND --sd-file $FIRST-SD.json --sd-exchange-key exchange.cer \
        --sd-wrapping-keys "$@" --output none
}
refused 'not less than 2' upload cert_1.key
upload cert_0.key cert_2.key

step 'Its own backup first, then the restore'
az keyvault update-hsm --hsm-name $SECOND --resource-group "$RESOURCE_GROUP" --mi-user-assigned "$IDENTITY" --output none
restore() {
    az keyvault restore start --hsm-name $SECOND --use-managed-identity true --storage-account-name "$STORAGE_ACCOUNT" \
        --blob-container-name $CONTAINER --backup-folder "$FOLDER" --output none
}
refused '30 minutes' restore
backup $SECOND --output none
restore

step 'The second HSM does what the first one did'
[[ $(az keyvault key decrypt --hsm-name $SECOND --name sealing --algorithm RSA-OAEP-256 --data-type base64 \
    --value "$CIPHERTEXT" --query result --output tsv) == "$PLAINTEXT" ]] || fail 'it does not decrypt'
SIGNATURE=$(az keyvault key sign --hsm-name $SECOND --name signing --algorithm ES256 --digest $DIGEST \
    --query signature --output tsv)
verify() {
    az keyvault key verify --hsm-name "$1" --name signing --algorithm ES256 --digest $DIGEST --signature "$2" \
        --query isValid --output tsv
}
[[ $(verify $FIRST "$SIGNATURE") == true ]] || fail 'the first HSM does not know the signature of the second'
[[ $(verify $SECOND "$OLD_SIGNATURE") == true ]] || fail 'the second HSM does not know the signature of the first'
[[ $(az keyvault key decrypt --hsm-name $SECOND --name wrapping --algorithm A256GCM --data-type base64 \
    --value "${SEALED[0]}" --iv "${SEALED[1]}" --tag "${SEALED[2]}" --query result --output tsv) == "$PLAINTEXT" ]] ||
    fail 'the symmetric key is another one'
assignments() {
    az keyvault role assignment list --hsm-name "$1" --query '[].[principalId, roleDefinitionId, scope]' --output tsv | sort
}
[[ $(assignments $FIRST) == "$(assignments $SECOND)" ]] || fail 'the role assignments differ'

step 'done: the second HSM is the first one'
