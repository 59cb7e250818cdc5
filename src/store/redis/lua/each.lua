-- Asks many questions in one call. Only reads.
--
-- KEYS[1]: not looked at. ARGV: for each command: number of words, words. Answers all answers.
local answers, at = {}, 1
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
