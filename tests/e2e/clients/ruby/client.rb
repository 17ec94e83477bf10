# The smallest ordinary Ruby program: who am I. With `each`: once for every line of stdin.
require "aws-sdk-core"

begin
  # The client is made here too: this SDK looks for credentials when it is built. Debian's does not
  # read AWS_ENDPOINT_URL by itself yet.
  sts = Aws::STS::Client.new(endpoint: ENV.fetch("AWS_ENDPOINT_URL"))
  (ARGV == ["each"] ? $stdin.each_line : [""]).each do
    puts "arn #{sts.get_caller_identity.arn}"
    $stdout.flush
  end
rescue StandardError => error
  warn "#{error.class}: #{error.message}"
  exit 1
end
