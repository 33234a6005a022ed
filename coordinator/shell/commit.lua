#!lua name=millrace

-- The writes of Millrace, as one function library. Callers: coordinator/shell/redis_commit.cc.
--
-- A partition's batch is applied whole or not at all: everything that could refuse it is checked before its first
-- write (owner and epoch, commit number, shape of the arguments, types of the keys; memory by Redis before the call),
-- and the one command that can fail on what is stored, XADD, comes first. Nothing after it can fail.
-- Each batch of a call is checked, applied and answered on its own: applied, already, gap, fenced, refused <why>.

local VERSION = 1  -- grows with every change here; kFunctionVersion in redis_commit.h follows
local FIELDS_MAX = 2000  -- arguments of one command (even: pairs stay together); unpack fails near 8,000
local KEY_LIFE = 24 * 3600  -- seconds that an idempotency key lives at least
local RUN_ID = 13  -- characters of a printed run id

-- ---------------------------------------------------------------- owner

local OWNER = {'owner', 'epoch', 'nonce', 'beat', 'n'}
local NOBODY = {'', '0', '0', '0', '0'}

local function read_owner(base)
  local record = redis.call('HMGET', base .. ':owner', unpack(OWNER))
  for i = 1, #OWNER do record[i] = record[i] or NOBODY[i] end
  return record
end

local function answer_owner(done, record)
  return {done and 1 or 0, record[1], record[2], record[3], record[4], record[5]}
end

-- keys: partition; args: the five fields seen, then owner, epoch and nonce to be set.
local function take(keys, args)
  local record = read_owner(keys[1])
  for i = 1, #OWNER do
    if record[i] ~= args[i] then return answer_owner(false, record) end
  end
  if tonumber(args[7]) <= tonumber(record[2]) then return answer_owner(false, record) end
  redis.call('HSET', keys[1] .. ':owner', 'owner', args[6], 'epoch', args[7], 'nonce', args[8], 'beat', '0', 'n', record[5])
  return answer_owner(true, read_owner(keys[1]))
end

-- keys: partition; args: epoch, nonce.
local function release(keys, args)
  local record = read_owner(keys[1])
  local owned = record[1] ~= '' and record[2] == args[1] and record[3] == args[2]
  if owned then
    redis.call('HSET', keys[1] .. ':owner', 'owner', '')
    record[1] = ''
  end
  return answer_owner(owned, record)
end

-- ---------------------------------------------------------------- a batch

-- epoch, nonce, number, beat, now (s), events, definitions, runs; definitions: hash, bytes;
-- runs: id, flags (1: accepted, 2: ended), [if accepted: score, key field, key value], fields, field and value ...
local function read_batch(args, at)
  local batch = {epoch = args[at], nonce = args[at + 1], number = tonumber(args[at + 2]), beat = args[at + 3],
                 now = tonumber(args[at + 4]), events = args[at + 5], definitions = {}, runs = {}}
  local definitions, runs = tonumber(args[at + 6]), tonumber(args[at + 7])
  at = at + 8
  if not (batch.number and batch.now and definitions and runs) then return nil end
  for i = 1, definitions do
    batch.definitions[i] = {hash = args[at], bytes = args[at + 1]}
    if not args[at + 1] then return nil end
    at = at + 2
  end
  for i = 1, runs do
    local flags = tonumber(args[at + 1])
    if not flags then return nil end
    local run = {id = args[at], accepted = flags % 2 == 1, ended = flags >= 2}
    at = at + 2
    if run.accepted then
      run.score, run.key, run.value = args[at], args[at + 1], args[at + 2]
      if not tonumber(run.score) then return nil end
      at = at + 3
    end
    local fields = tonumber(args[at])
    if not fields or fields < 2 or fields % 2 ~= 0 or fields > FIELDS_MAX then return nil end
    run.first, run.last = at + 1, at + fields
    at = at + fields + 1
    if at - 1 > #args then return nil end
    batch.runs[i] = run
  end
  return batch, at
end

local function is_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  return found == wanted or found == 'none'
end

-- Why the batch cannot be written, or nil.
local function obstacle(base, batch)
  if not is_type(base .. ':active', 'zset') then return 'refused WRONGTYPE ' .. base .. ':active' end
  if not is_type(base .. ':runs', 'zset') then return 'refused WRONGTYPE ' .. base .. ':runs' end
  if not is_type(base .. ':keys', 'hash') then return 'refused WRONGTYPE ' .. base .. ':keys' end
  for _, run in ipairs(batch.runs) do
    local key = base .. ':r:' .. run.id
    if not is_type(key, 'hash') then return 'refused WRONGTYPE ' .. key end
  end
  return nil
end

-- Looks at two idempotency keys and drops those whose run is gone and whose time is over.
local function trim_keys(base, now)
  local key = base .. ':keys'
  local some = redis.call('HRANDFIELD', key, 2, 'WITHVALUES')
  for i = 1, #some, 2 do
    local value = some[i + 1]
    local a, b, c, d = string.byte(value, #value - 3, #value)
    local since = ((a * 256 + b) * 256 + c) * 256 + d
    if now - since > KEY_LIFE and redis.call('EXISTS', base .. ':r:' .. string.sub(value, 1, RUN_ID)) == 0 then
      redis.call('HDEL', key, some[i])
    end
  end
end

-- One command for many members: fewer calls, in parts that unpack takes.
local function call_with(command, key, list)
  for first = 1, #list, FIELDS_MAX do
    redis.call(command, key, unpack(list, first, math.min(first + FIELDS_MAX - 1, #list)))
  end
end

local function write_runs(base, runs, args)
  local listed, live, over, keys = {}, {}, {}, {}
  for _, run in ipairs(runs) do
    redis.call('HSET', base .. ':r:' .. run.id, unpack(args, run.first, run.last))
    if run.accepted then
      listed[#listed + 1], listed[#listed + 2] = run.score, run.id
      keys[#keys + 1], keys[#keys + 2] = run.key, run.value
      if not run.ended then live[#live + 1], live[#live + 2] = run.score, run.id end
    elseif run.ended then
      over[#over + 1] = run.id
    end
  end
  call_with('ZADD', base .. ':runs', listed)
  call_with('HSET', base .. ':keys', keys)
  call_with('ZADD', base .. ':active', live)
  call_with('ZREM', base .. ':active', over)
end

local function apply(base, batch, args)
  local owner_type = redis.call('TYPE', base .. ':owner').ok
  if owner_type ~= 'hash' and owner_type ~= 'none' then return 'refused WRONGTYPE ' .. base .. ':owner' end
  local owner = read_owner(base)
  if owner[1] == '' or owner[2] ~= batch.epoch or owner[3] ~= batch.nonce then return 'fenced' end
  if batch.number == 0 then
    redis.call('HSET', base .. ':owner', 'beat', batch.beat)
    return 'applied'
  end
  local number = tonumber(owner[5])
  if batch.number <= number then return 'already' end
  if batch.number ~= number + 1 then return 'gap' end
  local why = obstacle(base, batch)
  if why then return why end

  if batch.events ~= '' then
    local id = batch.epoch .. '-' .. string.format('%d', batch.number)
    local added = redis.pcall('XADD', base .. ':events', id, 'e', batch.events)
    if type(added) == 'table' and added.err then return 'refused ' .. added.err end
  end
  redis.call('HSET', base .. ':owner', 'n', string.format('%d', batch.number), 'beat', batch.beat)
  for _, definition in ipairs(batch.definitions) do
    redis.call('SET', base .. ':def:' .. definition.hash, definition.bytes)
  end
  write_runs(base, batch.runs, args)
  if batch.number % 16 == 0 then trim_keys(base, batch.now) end
  return 'applied'
end

-- keys: one partition a batch; args: the batches, one after the other.
local function commit(keys, args)
  local batches, at = {}, 1
  for i = 1, #keys do
    batches[i], at = read_batch(args, at)
    if not batches[i] then return redis.error_reply('ERR millrace: batch ' .. i .. ' does not parse') end
  end
  if at ~= #args + 1 then return redis.error_reply('ERR millrace: arguments left over') end
  local answers = {}
  for i, base in ipairs(keys) do answers[i] = apply(base, batches[i], args) end
  return answers
end

-- Batches that only renew the beat: allowed when memory is full, so that a full store does not change owners.
local function beat(keys, args)
  for i = 0, #keys - 1 do
    if args[i * 8 + 3] ~= '0' then return redis.error_reply('ERR millrace: a beat has no number') end
  end
  return commit(keys, args)
end

redis.register_function{function_name = 'millrace_commit', callback = commit}
redis.register_function{function_name = 'millrace_beat', callback = beat, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_take', callback = take, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_release', callback = release, flags = {'allow-oom'}}
redis.register_function{function_name = 'millrace_version', callback = function() return VERSION end, flags = {'no-writes'}}
