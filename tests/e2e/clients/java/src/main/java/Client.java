import software.amazon.awssdk.services.sts.StsClient;

/** The smallest ordinary Java v2 program: who am I, COUNT times with PAUSE seconds between. */
public final class Client {
    public static void main(String[] args) throws InterruptedException {
        int count = args.length > 0 ? Integer.parseInt(args[0]) : 1;
        int pause = args.length > 1 ? Integer.parseInt(args[1]) : 0;
        try (StsClient sts = StsClient.create()) {
            for (int call = 0; call < count; call++) {
                if (call > 0) Thread.sleep(pause * 1000L);
                System.out.println("arn " + sts.getCallerIdentity().arn());
            }
        } catch (RuntimeException error) {
            System.err.println(error);
            System.exit(1);
        }
    }
}
