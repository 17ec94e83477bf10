# The smallest ordinary Ruby program: who am I. With `each`: once for every line of stdin. With
# `assume ARN`: for every line become that role, and go on if that is denied.
require "aws-sdk-core"

mode, role = ARGV

begin
  # The client is made here too: this SDK looks for credentials when it is built. Debian's does not
  # read AWS_ENDPOINT_URL by itself yet.
  sts = Aws::STS::Client.new(endpoint: ENV.fetch("AWS_ENDPOINT_URL"))
  (mode ? $stdin.each_line : [""]).each do
    if mode == "assume"
      begin
        sts.assume_role(role_arn: role, role_session_name: "next")
        puts "done"
      rescue Aws::Errors::ServiceError => error
        puts "no #{error.class}: #{error.message}"
      end
    else
      puts "arn #{sts.get_caller_identity.arn}"
    end
    $stdout.flush
  end
rescue StandardError => error
  warn "#{error.class}: #{error.message}"
  exit 1
end
