# Makes a fresh Request Tracker a service desk: queue SOC, the agent's fields, the agent's account with the rights that
# docs/desk-rt.md asks for and no more, an operator's account, and a token for each (files $ARGV[0]/agent and /operator).
use strict; use warnings; use lib '/usr/share/request-tracker5/lib';
use RT; RT::LoadConfig(); RT::Init();
my $system = $RT::SystemUser;
sub must { my ($ok, $message) = @_; die(($message || 'failed') . "\n") unless $ok; return $ok }

my $queue = RT::Queue->new($system);
must($queue->Create(Name => 'SOC', Description => 'SOC cases', CorrespondAddress => 'soc@soc.example', CommentAddress => 'soc-comment@soc.example'));
for my $f (['FC-Key', 'FreeformSingle', 1], ['FC-Priority', 'SelectSingle', 0, 1 .. 4], ['FC-Hold-Reason', 'FreeformSingle', 0],
           ['FC-Break-Started', 'DateTimeSingle', 0], ['FC-Rectified', 'DateTimeSingle', 0], ['FC-Site', 'FreeformSingle', 0]) {
  my ($name, $type, $unique, @values) = @$f;
  my $field = RT::CustomField->new($system);
  must($field->Create(Name => $name, Type => $type, LookupType => 'RT::Queue-RT::Ticket', UniqueValues => $unique));
  must($field->AddToObject($queue));
  $field->AddValue(Name => $_) for @values;
}

my @agent = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket ReplyToTicket CommentOnTicket ModifyTicket SeeCustomField ModifyCustomField);
my %rights = ('fc-agent' => \@agent, 'soc-op' => [@agent, qw(OwnTicket TakeTicket DeleteTicket Watch)]);
my %file = ('fc-agent' => 'agent', 'soc-op' => 'operator');
for my $name (sort keys %rights) {
  my $user = RT::User->new($system);
  must($user->Create(Name => $name, EmailAddress => "$name\@soc.example", Privileged => 1));
  must($user->PrincipalObj->GrantRight(Right => $_, Object => $queue)) for @{$rights{$name}};
  my ($ok, $message, $token) = RT::AuthToken->new($system)->Create(Owner => $user->Id, Description => 'for tests');
  must($ok, $message);
  open my $out, '>', "$ARGV[0]/$file{$name}" or die $!;
  print $out $token; close $out;
}
my $everyone = RT::Group->new($system);    # customers answer by e-mail
$everyone->LoadSystemInternalGroup('Everyone');
must($everyone->PrincipalObj->GrantRight(Right => $_, Object => $queue)) for qw(ReplyToTicket CreateTicket);
