import com.azure.core.credential.TokenCredential;
import com.azure.core.exception.HttpResponseException;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.KeyClientBuilder;
import java.util.Arrays;
import java.util.List;

/**
 * Walks the operations that the official Java packages offer, with their checks left on: {@code Walk URL CREDENTIAL
 * CHAPTER...}. One line is printed for each operation that did what it should; the first that does not ends the program.
 */
final class Walk {
    final KeyClient client;
    final TokenCredential credential;
    final boolean vault;

    private Walk(String url, String credential) {
        this.credential = signIn(credential);
        client = new KeyClientBuilder().vaultUrl(url).credential(this.credential).buildClient();
        vault = url.contains(".vault.");
    }

    public static void main(String[] arguments) {
        if (arguments.length < 3) {
            throw new IllegalArgumentException("usage: Walk URL CREDENTIAL CHAPTER...");
        }
        Walk walk = new Walk(arguments[0], arguments[1]);
        List<String> chapters = Arrays.asList(arguments).subList(2, arguments.length);
        chapters.forEach(walk::walk);
        // Threads of the HTTP client would keep the program alive for a while.
        System.exit(0);
    }

    private void walk(String chapter) {
        switch (chapter) {
            case "backup" -> Material.backUpAndRestore(this);
            case "cryptography" -> Cryptography.walk(this);
            case "import" -> Material.importEachType(this);
            case "keys" -> Keys.walk(this);
            case "random" -> Material.drawRandomBytes(this);
            case "release" -> Release.attestAndRelease(this);
            case "rotation" -> Material.rotate(this);
            case "signature" -> Cryptography.signInAndSign(this);
            default -> throw new IllegalArgumentException("there is no chapter " + chapter);
        }
    }

    /** A credential by its name. Everything about the deployment comes from {@code client.env}. */
    private static TokenCredential signIn(String name) {
        String authority = System.getenv("STRONGROOM_AUTHORITY_URL");
        String tenant = System.getenv("STRONGROOM_TENANT_ID");
        return switch (name) {
            case "default" -> new DefaultAzureCredentialBuilder().build();
            case "managed" -> new ManagedIdentityCredentialBuilder().build();
            // An authority that is not Entra ID's: it is named, and nobody else is asked about it.
            case "secret" -> new ClientSecretCredentialBuilder()
                .authorityHost(authority)
                .disableInstanceDiscovery()
                .tenantId(tenant)
                .clientId(System.getenv("STRONGROOM_CLIENT_ID"))
                .clientSecret(System.getenv("STRONGROOM_CLIENT_SECRET"))
                .build();
            case "workload" -> new WorkloadIdentityCredentialBuilder()
                .authorityHost(authority)
                .disableInstanceDiscovery()
                .tenantId(tenant)
                .clientId(System.getenv("WORKLOAD_CLIENT_ID"))
                .tokenFilePath(System.getenv("WORKLOAD_TOKEN_FILE"))
                .build();
            default -> throw new IllegalArgumentException("there is no credential " + name);
        };
    }

    /** Says that an operation did what it should. */
    static void passed(Object... words) {
        StringBuilder line = new StringBuilder("ok");
        for (Object word : words) {
            line.append(' ').append(word);
        }
        System.out.println(line);
    }

    /** Ends the program unless it is so. */
    static void check(boolean condition, Object what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    /** Ends the program unless the service refuses the call with this status. */
    static void refused(Runnable call, int status) {
        try {
            call.run();
        } catch (HttpResponseException error) {
            if (error.getResponse().getStatusCode() == status) {
                return;
            }
            throw error;
        }
        throw new AssertionError("this should have been refused with " + status);
    }
}
