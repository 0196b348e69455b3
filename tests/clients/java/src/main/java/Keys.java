import com.azure.core.util.polling.SyncPoller;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.models.CreateEcKeyOptions;
import com.azure.security.keyvault.keys.models.CreateKeyOptions;
import com.azure.security.keyvault.keys.models.CreateOctKeyOptions;
import com.azure.security.keyvault.keys.models.CreateRsaKeyOptions;
import com.azure.security.keyvault.keys.models.DeletedKey;
import com.azure.security.keyvault.keys.models.KeyCurveName;
import com.azure.security.keyvault.keys.models.KeyOperation;
import com.azure.security.keyvault.keys.models.KeyProperties;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Keys as such: create, read, update, list, delete, recover, purge. */
final class Keys {
    /** A key of the walk: its name, type, and size or curve. */
    record Made(String name, String kind, int size, String curve) {
        CreateKeyOptions options(Walk walk) {
            return switch (kind) {
                case "RSA" -> new CreateRsaKeyOptions(name).setKeySize(size).setHardwareProtected(!walk.vault);
                case "EC" -> new CreateEcKeyOptions(name).setCurveName(KeyCurveName.fromString(curve))
                    .setHardwareProtected(!walk.vault);
                default -> new CreateOctKeyOptions(name).setKeySize(size).setHardwareProtected(!walk.vault);
            };
        }

        KeyVaultKey create(Walk walk) {
            return Keys.create(walk, options(walk));
        }
    }

    private static final int PAGE = 25;

    /** One of each type; the chapter on cryptography uses them. */
    private static final List<Made> EVERY_TYPE = List.of(
        new Made("walk-rsa-2048", "RSA", 2048, null),
        new Made("walk-rsa-3072", "RSA", 3072, null),
        new Made("walk-rsa-4096", "RSA", 4096, null),
        new Made("walk-ec-p-256", "EC", 0, "P-256"),
        new Made("walk-ec-p-256k", "EC", 0, "P-256K"),
        new Made("walk-ec-p-384", "EC", 0, "P-384"),
        new Made("walk-ec-p-521", "EC", 0, "P-521"),
        new Made("walk-oct-128", "oct", 128, null),
        new Made("walk-oct-192", "oct", 192, null),
        new Made("walk-oct-256", "oct", 256, null));

    private Keys() {
    }

    /** The keys that a service of this kind can hold. */
    static List<Made> ofEachType(Walk walk) {
        return walk.vault ? EVERY_TYPE.subList(0, 7) : EVERY_TYPE;
    }

    static Made p256(String name) {
        return new Made(name, "EC", 0, "P-256");
    }

    static KeyVaultKey create(Walk walk, CreateKeyOptions options) {
        if (options instanceof CreateRsaKeyOptions rsa) {
            return walk.client.createRsaKey(rsa);
        }
        if (options instanceof CreateEcKeyOptions ec) {
            return walk.client.createEcKey(ec);
        }
        return walk.client.createOctKey((CreateOctKeyOptions) options);
    }

    static String keyType(Walk walk, String kind) {
        return walk.vault ? kind : kind + "-HSM";
    }

    static DeletedKey delete(Walk walk, String name) {
        SyncPoller<DeletedKey, Void> poller = walk.client.beginDeleteKey(name);
        poller.setPollInterval(Duration.ofMillis(50)).waitForCompletion();
        return poller.poll().getValue();
    }

    static void walk(Walk walk) {
        for (Made made : ofEachType(walk)) {
            KeyVaultKey key = made.create(walk);
            Walk.check(key.getKeyType().toString().equals(keyType(walk, made.kind())), key.getKeyType());
            Walk.passed("create", made.name());
        }
        readAndUpdate(walk);
        listPages(walk);
        deleteRecoverPurge(walk);
    }

    private static void readAndUpdate(Walk walk) {
        KeyClient client = walk.client;
        String name = "walk-versions";
        KeyVaultKey first = create(walk, p256(name).options(walk).setTags(Map.of("step", "1")));
        KeyVaultKey second = p256(name).create(walk);
        Walk.check(client.getKey(name).getId().equals(second.getId()), "the latest version is read");
        String version = first.getProperties().getVersion();
        KeyVaultKey old = client.getKey(name, version);
        Walk.check(old.getProperties().getTags().equals(Map.of("step", "1")), "an old version stays as it was");
        Walk.check(Arrays.equals(old.getKey().getX(), first.getKey().getX()), "and its key");
        Walk.passed("get");
        OffsetDateTime expires = OffsetDateTime.parse("2040-01-02T03:04:05Z");
        KeyProperties change = old.getProperties().setEnabled(false).setExpiresOn(expires)
            .setNotBefore(expires.minusDays(1)).setTags(Map.of("step", "2"));
        client.updateKeyProperties(change, KeyOperation.VERIFY);
        KeyVaultKey read = client.getKey(name, version);
        KeyProperties found = read.getProperties();
        Walk.check(!found.isEnabled() && found.getExpiresOn().isEqual(expires), "enabled and exp were changed");
        Walk.check(found.getTags().equals(Map.of("step", "2")), found.getTags());
        Walk.check(read.getKeyOperations().equals(List.of(KeyOperation.VERIFY)), read.getKeyOperations());
        Walk.passed("update");
        Set<String> versions = client.listPropertiesOfKeyVersions(name).stream().map(KeyProperties::getVersion)
            .collect(Collectors.toSet());
        Walk.check(versions.equals(Set.of(version, second.getProperties().getVersion())), versions);
        Walk.passed("list versions");
    }

    private static void listPages(Walk walk) {
        KeyClient client = walk.client;
        List<String> names = IntStream.rangeClosed(0, PAGE).mapToObj(number -> "walk-page-" + number).toList();
        names.forEach(name -> p256(name).create(walk));
        List<List<KeyProperties>> pages = client.listPropertiesOfKeys().streamByPage()
            .map(page -> page.getElements().stream().toList()).toList();
        Walk.check(pages.size() > 1 && pages.stream().allMatch(page -> page.size() <= PAGE), "there are pages of 25");
        List<String> found = pages.stream().flatMap(List::stream).map(KeyProperties::getName).toList();
        Walk.check(new HashSet<>(found).size() == found.size() && found.containsAll(names), "each key is listed once");
        Walk.passed("list", pages.size(), "pages");
        names.forEach(name -> delete(walk, name));
        List<List<DeletedKey>> deleted = client.listDeletedKeys().streamByPage()
            .map(page -> page.getElements().stream().toList()).toList();
        Set<String> gone = deleted.stream().flatMap(List::stream).map(DeletedKey::getName).collect(Collectors.toSet());
        Walk.check(deleted.size() > 1 && gone.containsAll(names), "all are in the deleted list");
        Walk.passed("list deleted", deleted.size(), "pages");
        names.forEach(client::purgeDeletedKey);
    }

    private static void deleteRecoverPurge(Walk walk) {
        KeyClient client = walk.client;
        Made made = p256("walk-deleted");
        KeyVaultKey key = made.create(walk);
        DeletedKey deleted = delete(walk, made.name());
        Walk.check(deleted.getRecoveryId() != null, "a deleted key can be recovered");
        Walk.check(deleted.getScheduledPurgeDate().isAfter(deleted.getDeletedOn()), "and is purged later");
        Walk.passed("delete");
        Walk.check(client.getDeletedKey(made.name()).getId().equals(key.getId()), "the deleted key is shown");
        Walk.passed("get deleted");
        Walk.refused(() -> made.create(walk), 409);
        Walk.passed("create", "refused while deleted");
        SyncPoller<KeyVaultKey, Void> recovering = client.beginRecoverDeletedKey(made.name());
        recovering.setPollInterval(Duration.ofMillis(50)).waitForCompletion();
        Walk.check(client.getKey(made.name()).getId().equals(key.getId()), "the same key comes back");
        Walk.passed("recover");
        delete(walk, made.name());
        client.purgeDeletedKey(made.name());
        Walk.refused(() -> client.getKey(made.name()), 404);
        Walk.refused(() -> client.getDeletedKey(made.name()), 404);
        Walk.passed("purge");
    }
}
