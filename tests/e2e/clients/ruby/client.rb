# The smallest ordinary Ruby program: who am I, COUNT times with PAUSE seconds between.
require "aws-sdk-core"

count = Integer(ARGV.fetch(0, "1"))
pause = Float(ARGV.fetch(1, "0"))
begin
  # The client is made here too: this SDK looks for credentials when it is built. Debian's does not
  # read AWS_ENDPOINT_URL by itself yet.
  sts = Aws::STS::Client.new(endpoint: ENV.fetch("AWS_ENDPOINT_URL"))
  count.times do |call|
    sleep(pause) if call.positive?
    puts "arn #{sts.get_caller_identity.arn}"
    $stdout.flush
  end
rescue StandardError => error
  warn "#{error.class}: #{error.message}"
  exit 1
end
