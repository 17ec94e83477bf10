import java.util.Scanner;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * The smallest ordinary Java v2 program: who am I. With {@code each}: once for every line of stdin.
 * With {@code assume ARN}: for every line become that role, and go on if that is denied.
 */
public final class Client {
    public static void main(String[] args) {
        boolean assumes = args.length > 1 && args[0].equals("assume");
        Scanner lines = new Scanner(args.length > 0 ? System.in : new java.io.ByteArrayInputStream(new byte[] {'\n'}));
        try (StsClient sts = StsClient.create()) {
            while (lines.hasNextLine()) {
                lines.nextLine();
                System.out.println(assumes ? assume(sts, args[1]) : "arn " + sts.getCallerIdentity().arn());
            }
        } catch (RuntimeException error) {
            System.err.println(error);
            System.exit(1);
        }
    }

    private static String assume(StsClient sts, String arn) {
        try {
            sts.assumeRole(call -> call.roleArn(arn).roleSessionName("next"));
            return "done";
        } catch (RuntimeException error) {
            return "no " + error.toString().replace('\n', ' ');
        }
    }
}
