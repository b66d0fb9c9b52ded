-- claims::keyed::confirm
-- $1 the token, $2 whether the agent joined a conversation, $3 whether it gave an invite link.
UPDATE claim_requests
SET outcome = 'claimed',
    joined = $2,
    invited = $3
WHERE claim_token = $1
