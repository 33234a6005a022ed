#!lua name=millrace

-- The writes of Millrace, as one function library. Callers: coordinator/shell/redis_commit.cc.
--
-- A partition's batch is applied whole or not at all: everything that could refuse it is checked before its first
-- write (owner and epoch, commit number, shape of the arguments, types of new keys; memory by Redis before the call), and
-- the one command that can fail on what is stored, XADD, comes first. The commit number is written last: should a
-- write be refused after all (a key of ours was given another type from outside), the commit does not count and comes
-- again, which is harmless: its fields, members and stream entry have the same names.
-- Each batch of a call is checked, applied and answered on its own: applied, already, gap, fenced, refused <why>.

local VERSION = 10  -- grows with every change here; kFunctionVersion in redis_commit.h follows
local FIELDS_MAX = 2000  -- arguments of one command (even: pairs stay together); unpack fails near 8,000
local KEY_LIFE = 24 * 3600  -- seconds that an idempotency key lives at least
local RUN_ID = 13  -- characters of a printed run id
local UNSEEN = 1048576  -- commits that may have come after the latest with events

local call  -- redis.call, which is not there yet while the library is loaded: each entry sets it

local function is_type(key, wanted)
  local found = call('TYPE', key).ok
  return found == wanted or found == 'none'
end

-- ---------------------------------------------------------------- owner

local OWNER = {'owner', 'epoch', 'nonce', 'beat', 'n'}
local NOBODY = {'', '0', '0', '0', '0'}

local function read_owner(base)
  local record = call('HMGET', base .. ':owner', unpack(OWNER))
  for i = 1, #OWNER do record[i] = record[i] or NOBODY[i] end
  return record
end

local function answer_owner(done, base, record)
  local more = call('HMGET', base .. ':owner', 'heir', 'since')
  return {done and 1 or 0, record[1], record[2], record[3], record[4], record[5], more[1] or '', more[2] or '0'}
end

-- What a partition has of its own, looked at when it is taken.
local KEYS = {{':active', 'zset'}, {':runs', 'zset'}, {':keys', 'hash'}, {':events', 'stream'}}

-- A partition that has no owner record and yet a history (somebody deleted the record) goes on behind that history: its
-- numbers name fields and entries, and must never come twice. Returns epoch and number to be above.
local function numbers_used(base)
  if call('EXISTS', base .. ':events') == 0 then return 0, 0 end
  local last = '0-0'  -- also where all entries have been deleted since
  local told = call('XINFO', 'STREAM', base .. ':events')
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then last = told[i + 1] end
  end
  if last == '0-0' then return 0, 0 end
  local epoch, number = string.match(last, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(number) + UNSEEN
end

-- keys: partition; args: the five fields seen, then owner, epoch, nonce and since to be set, and '1' from who writes
-- down which run needs which value: `values_since` is the first epoch of an unbroken row of those.
local function take(keys, args)
  call = redis.call
  for _, key in ipairs(KEYS) do
    if not is_type(keys[1] .. key[1], key[2]) then
      return redis.error_reply('WRONGTYPE ' .. keys[1] .. key[1] .. ' is not a ' .. key[2])
    end
  end
  local record = read_owner(keys[1])
  for i = 1, #OWNER do
    if record[i] ~= args[i] then return answer_owner(false, keys[1], record) end
  end
  if record[2] == '0' then
    local epoch, number = numbers_used(keys[1])
    record[2], record[5] = string.format('%.0f', epoch), string.format('%.0f', number)
  end
  if tonumber(args[7]) <= tonumber(record[2]) then return answer_owner(false, keys[1], record) end
  local since = '0'
  if args[10] == '1' then
    since = call('HGET', keys[1] .. ':owner', 'values_since') or '0'
    if since == '0' then since = args[7] end
  end
  call('UNLINK', keys[1] .. ':finished')  -- the next owner counts anew
  call('HSET', keys[1] .. ':owner', 'owner', args[6], 'epoch', args[7], 'nonce', args[8], 'beat', '0',
       'n', record[5], 'heir', '', 'since', args[9] or '0', 'values_since', since)
  return answer_owner(true, keys[1], read_owner(keys[1]))
end

-- keys: partition; args: epoch, nonce, heir (who should take it; empty: anybody), the number that should be there.
local function release(keys, args)
  call = redis.call
  local record = read_owner(keys[1])
  local owned = record[1] ~= '' and record[2] == args[1] and record[3] == args[2] and
    tonumber(record[5]) >= (tonumber(args[4]) or 0)
  if owned then
    call('HSET', keys[1] .. ':owner', 'owner', '', 'heir', args[3] or '')
    record[1] = ''
  end
  return answer_owner(owned, keys[1], record)
end

-- ---------------------------------------------------------------- a batch

-- A batch: epoch, nonce, number, beat, now (s), events, definitions, runs; definitions: hash, bytes;
-- A beat (number 0) has the number that the store should at least be at in place of its events.
-- runs: id, flags (1: accepted, 2: ended), [if accepted: score, key field, key value], fields, field and value ...
-- In the place of a run also, with flags of their own and fields that may say nothing:
--   id, 4: a finished run that is not kept any longer: its records and logs go (its key: millrace_drop_keys)
--   hash, 5: a definition that no run has any more
--   '', 6: how many ended runs are kept: fields are workflows and counts
--   name, 7: records of the partition on the shelf of that name: fields and values; an empty value: the field goes
--   id, 8: a run whose records are damaged, as a whole: what stood there goes
-- It is read in place: a table per run would cost more than the commands it leads to.

-- Where the batch that begins at `at` ends, or nil where it does not parse.
local function skim(args, at, count)
  local definitions, runs = tonumber(args[at + 6]), tonumber(args[at + 7])
  if not (definitions and runs and tonumber(args[at + 2]) and tonumber(args[at + 4])) then return nil end
  at = at + 8 + 2 * definitions
  for _ = 1, runs do
    local flags = args[at + 1]
    if flags == '1' or flags == '3' then
      if not tonumber(args[at + 2]) then return nil end
      at = at + 5
    elseif flags == '0' or flags == '2' or flags == '4' or flags == '5' or flags == '6' or flags == '7' or
           flags == '8' then
      at = at + 2
    else
      return nil
    end
    local fields = tonumber(args[at])
    if not fields or fields < 2 or fields % 2 ~= 0 or fields > FIELDS_MAX then return nil end
    at = at + fields + 1
  end
  if at - 1 > count then return nil end
  return at
end

local on_cluster  -- each entry sets it: keys of this call may be on their way to another node

-- Why new runs cannot be written, or nil. What the partition has of its own was looked at when it was taken; a run that
-- is known was looked at when it was accepted. On a Redis Cluster every key is looked at: while a slot is moved, those
-- that are away are refused, and so is all that is new. Elsewhere one command tells that nothing new is there yet.
local function obstacle(base, args, at, runs)
  local names = {}
  for _ = 1, runs do
    local flags = args[at + 1]
    if flags == '7' then
      local shelf = base .. ':shelf:' .. args[at]
      if not is_type(shelf, 'hash') then return 'refused WRONGTYPE ' .. shelf end
    elseif flags == '8' then
      call('TYPE', base .. ':r:' .. args[at])  -- whatever it is; that it is away is an error
    elseif on_cluster or flags == '1' or flags == '3' then
      names[#names + 1] = base .. ':r:' .. args[at]
    end
    if flags == '1' or flags == '3' then
      at = at + 5
    else
      at = at + 2
    end
    at = at + tonumber(args[at]) + 1
  end
  for first = 1, #names, FIELDS_MAX do
    local last = math.min(first + FIELDS_MAX - 1, #names)
    if on_cluster or call('EXISTS', unpack(names, first, last)) > 0 then
      for i = first, last do
        if not is_type(names[i], 'hash') then return 'refused WRONGTYPE ' .. names[i] end
      end
    end
  end
  return nil
end

-- Looks at two idempotency keys and drops those whose run is gone and whose time is over.
local function trim_keys(base, now)
  local key = base .. ':keys'
  local some = call('HRANDFIELD', key, 2, 'WITHVALUES')
  for i = 1, #some, 2 do
    local value = some[i + 1]
    local a, b, c, d = string.byte(value, #value - 3, #value)
    local since = ((a * 256 + b) * 256 + c) * 256 + d
    if now - since > KEY_LIFE and call('EXISTS', base .. ':r:' .. string.sub(value, 1, RUN_ID)) == 0 then
      call('HDEL', key, some[i])
    end
  end
end

-- One command for many members: fewer calls, in parts that unpack takes.
local function call_with(command, key, list)
  for first = 1, #list, FIELDS_MAX do
    call(command, key, unpack(list, first, math.min(first + FIELDS_MAX - 1, #list)))
  end
end

-- A run that lives is never deleted, whoever says so.
local function delete_run(base, id, gone, keys)
  if call('ZSCORE', base .. ':active', id) then return end
  gone[#gone + 1] = id
  keys[#keys + 1], keys[#keys + 2] = base .. ':r:' .. id, base .. ':log:' .. id
end

local function unlink(keys)
  for first = 1, #keys, FIELDS_MAX do
    call('UNLINK', unpack(keys, first, math.min(first + FIELDS_MAX - 1, #keys)))
  end
end

local function count_finished(key, args, first, last)
  for i = first, last, 2 do
    if args[i + 1] == '0' then call('HDEL', key, args[i]) else call('HSET', key, args[i], args[i + 1]) end
  end
end

local function write_shelf(key, args, first, last)
  local kept, gone = {}, {}
  for i = first, last, 2 do
    if args[i + 1] == '' then gone[#gone + 1] = args[i] else kept[#kept + 1], kept[#kept + 2] = args[i], args[i + 1] end
  end
  call_with('HSET', key, kept)
  call_with('HDEL', key, gone)
end

local function write_runs(base, args, at, runs)
  local listed, live, over, keys, gone, dead = {}, {}, {}, {}, {}, {}
  local prefix = base .. ':r:'
  for _ = 1, runs do
    local id, flags = args[at], args[at + 1]
    if flags == '1' or flags == '3' then
      local score = args[at + 2]
      listed[#listed + 1], listed[#listed + 2] = score, id
      keys[#keys + 1], keys[#keys + 2] = args[at + 3], args[at + 4]
      if flags == '1' then live[#live + 1], live[#live + 2] = score, id end
      at = at + 5
    else
      if flags == '2' then over[#over + 1] = id end
      at = at + 2
    end
    local fields = tonumber(args[at])
    if flags == '4' then delete_run(base, id, gone, dead)
    elseif flags == '5' then dead[#dead + 1] = base .. ':def:' .. id
    elseif flags == '6' then count_finished(base .. ':finished', args, at + 1, at + fields)
    elseif flags == '7' then write_shelf(base .. ':shelf:' .. id, args, at + 1, at + fields)
    else
      if flags == '8' then call('UNLINK', prefix .. id) end
      call('HSET', prefix .. id, unpack(args, at + 1, at + fields))
    end
    at = at + fields + 1
  end
  call_with('ZADD', base .. ':runs', listed)
  call_with('HSET', base .. ':keys', keys)
  call_with('ZADD', base .. ':active', live)
  call_with('ZREM', base .. ':active', over)
  call_with('ZREM', base .. ':runs', gone)
  unlink(dead)
end

-- keys: partition; args: second; then fields of keys. Drops those that were accepted before it and whose run is gone;
-- looks at each anew, since who asks may have seen an earlier one.
local function drop_keys(keys, args)
  call = redis.call
  local key, before, dropped = keys[1] .. ':keys', tonumber(args[1]), 0
  for i = 2, #args do
    local value = call('HGET', key, args[i])
    if value then
      local a, b, c, d = string.byte(value, #value - 3, #value)
      local since = ((a * 256 + b) * 256 + c) * 256 + d
      if since < before and call('EXISTS', keys[1] .. ':r:' .. string.sub(value, 1, RUN_ID)) == 0 then
        dropped = dropped + call('HDEL', key, args[i])
      end
    end
  end
  return dropped
end

-- keys: a value; args: seconds. Drops it if nobody has read or written it for so long. Answers what it held, or -1
-- where it is not idle for long enough, or nobody can tell.
local function drop_value(keys, args)
  call = redis.call
  local idle = redis.pcall('OBJECT', 'IDLETIME', keys[1])
  if not idle then return 0 end
  if type(idle) == 'table' or idle < tonumber(args[1]) then return -1 end
  local size = call('STRLEN', keys[1])
  call('UNLINK', keys[1])
  return size
end

-- keys: what has come of a value, the value; args: bytes of its envelope, bytes of the whole, where the part begins, the
-- part, seconds to wait for the next. Appends the part if it is the next one. Answers how much has come, or -1 where the
-- value is there already.
local function put_part(keys, args)
  call = redis.call
  if call('TOUCH', keys[2]) == 1 then
    call('UNLINK', keys[1])
    return -1
  end
  local head = tonumber(args[1])
  local begun = call('STRLEN', keys[1])
  local have = math.max(begun - head, 0)
  if have == tonumber(args[3]) and have + #args[4] <= tonumber(args[2]) then
    local bytes = args[4]
    if begun == 0 then bytes = string.rep('\0', head) .. bytes end
    have = call('APPEND', keys[1], bytes) - head
  end
  call('EXPIRE', keys[1], args[5])
  return have
end

-- keys: as put_part; args: the envelope, bytes of all. What has come, and was found to be right, becomes the value.
-- Answers 0 where it is not all there any more.
local function keep_value(keys, args)
  call = redis.call
  if call('TOUCH', keys[2]) == 1 then
    call('UNLINK', keys[1])
    return 1
  end
  if call('STRLEN', keys[1]) ~= tonumber(args[2]) then return 0 end
  call('SETRANGE', keys[1], 0, args[1])
  call('RENAME', keys[1], keys[2])
  call('PERSIST', keys[2])
  return 1
end

-- The events of a commit. Where a call was cut short behind this (by a key of another type), the resend finds its entry
-- there already.
local function add_events(base, id, events)
  local key = base .. ':events'
  local added = redis.pcall('XADD', key, id, 'e', events)
  if type(added) ~= 'table' or not added.err then return nil end
  local last = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if last[1] and last[1][1] == id then return nil end
  return 'refused ' .. added.err
end

-- Why keys that every commit touches cannot be reached just now, or nil.
local function away(base, args, at, definitions)
  for _, key in ipairs(KEYS) do
    local found = redis.pcall('TYPE', base .. key[1])
    if found.err then return 'refused ' .. found.err end
  end
  for i = 1, definitions do
    local found = redis.pcall('TYPE', base .. ':def:' .. args[at + 6 + 2 * i])
    if found.err then return 'refused ' .. found.err end
  end
  return nil
end

-- `epoch`, `nonce`: who must own the partition; those of the batch itself, but where it is written again.
local function apply(base, args, at, epoch, nonce)
  local record = redis.pcall('HMGET', base .. ':owner', unpack(OWNER))
  if record.err then return 'refused ' .. record.err .. ' ' .. base .. ':owner' end
  if not record[1] or record[1] == '' or record[2] ~= epoch or record[3] ~= nonce then return 'fenced' end
  local number, text = tonumber(args[at + 2]), args[at + 2]
  local stored = tonumber(record[5] or '0')
  if number == 0 then
    call('HSET', base .. ':owner', 'beat', args[at + 3])
    if stored < (tonumber(args[at + 5]) or 0) then return 'gap' end
    return 'applied'
  end
  if number <= stored then return 'already' end
  if number ~= stored + 1 then return 'gap' end
  local definitions, runs = tonumber(args[at + 6]), tonumber(args[at + 7])
  local first = at + 8 + 2 * definitions
  local why = on_cluster and away(base, args, at, definitions)
  if why then return why end
  if on_cluster then
    local all, refusal = pcall(obstacle, base, args, first, runs)
    why = all and refusal or not all and 'refused ' .. (type(refusal) == 'table' and refusal.err or tostring(refusal))
  else
    why = obstacle(base, args, first, runs)
  end
  if why then return why end

  if args[at + 5] ~= '' then
    why = add_events(base, args[at] .. '-' .. text, args[at + 5])
    if why then return why end
  end
  for i = 1, definitions do
    call('SET', base .. ':def:' .. args[at + 6 + 2 * i], args[at + 7 + 2 * i])
  end
  write_runs(base, args, first, runs)
  if number % 16 == 0 then trim_keys(base, tonumber(args[at + 4])) end
  -- Last: were one of the writes above refused, the number would say so and the commit would come again.
  call('HSET', base .. ':owner', 'n', text, 'beat', args[at + 3])
  return 'applied'
end

local function apply_all(keys, args, at)
  call = redis.call
  local starts, count = {}, #args
  for i = 1, #keys do
    starts[i] = at
    at = skim(args, at, count)
    if not at then return redis.error_reply('ERR millrace: batch ' .. i .. ' does not parse') end
  end
  if at ~= count + 1 then return redis.error_reply('ERR millrace: arguments left over') end
  local answers = {}
  for i, base in ipairs(keys) do
    local from = starts[i]
    answers[i] = apply(base, args, from, args[from], args[from + 1])
  end
  return answers
end

-- keys: one partition a batch; args: the batches, one after the other.
local function commit(keys, args)
  on_cluster = false
  return apply_all(keys, args, 1)
end

-- Those of one node of a Redis Cluster: key: the first; args: how many more, which, the batches.
local function commit_many(keys, args)
  on_cluster = true
  local more = tonumber(args[1] or '0')
  local all = {keys[1]}
  for i = 1, more do all[i + 1] = args[i + 1] end
  return apply_all(all, args, more + 2)
end

-- A batch of an earlier epoch of the same process, which the store has lost. key: partition; args: epoch, nonce (of
-- now), the batch. It stays what it was, its entry in the stream too.
local function repair(keys, args)
  call, on_cluster = redis.call, true  -- everything is looked at first, wherever this is
  if skim(args, 3, #args) ~= #args + 1 then return redis.error_reply('ERR millrace: the batch does not parse') end
  return apply(keys[1], args, 3, args[1], args[2])
end

-- Batches that only renew the beat: allowed when memory is full, so that a full store does not change owners.
local function beat(keys, args)
  for i = 0, #keys - 1 do
    if args[i * 8 + 3] ~= '0' then return redis.error_reply('ERR millrace: a beat has no number') end
  end
  return commit(keys, args)
end

local function beat_many(keys, args)
  local more = tonumber(args[1] or '0')
  for i = 0, more do
    if args[more + 1 + i * 8 + 3] ~= '0' then return redis.error_reply('ERR millrace: a beat has no number') end
  end
  return commit_many(keys, args)
end

redis.register_function{function_name = 'millrace_commit', callback = commit}
redis.register_function{function_name = 'millrace_beat', callback = beat, flags = {'allow-oom'}}
redis.register_function{
  function_name = 'millrace_commit_many', callback = commit_many, flags = {'allow-cross-slot-keys'}}
redis.register_function{
  function_name = 'millrace_beat_many', callback = beat_many, flags = {'allow-oom', 'allow-cross-slot-keys'}}
redis.register_function{function_name = 'millrace_repair', callback = repair}
redis.register_function{function_name = 'millrace_drop_keys', callback = drop_keys, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_drop_value', callback = drop_value, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_put_part', callback = put_part}
redis.register_function{function_name = 'millrace_keep_value', callback = keep_value}
redis.register_function{function_name = 'millrace_take', callback = take, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_release', callback = release, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_version', callback = function() return VERSION end, flags = {'no-writes'}}
