-- Reads the bodies of requests before they reach Triton 2.51, which one request can end, hold up, or have fail those of others
-- (docs/explanation/reliability.md of tbgen). HAProxy asks lua.http_body and lua.grpc_body: "ok", or the sentence that the client is answered.

local DEEPEST = 32 -- objects and lists in one another; Triton's parser takes a part of its stack for each
local MOST_KEYS = 1024 -- the time of Triton's parser grows with the square of their number
local MOST_READ = 64 << 20 -- bytes of a call that is refused for its length
local CLASSIFICATION = "the classification extension is not served here: take the model's own labels"

local CUT_SHORT = "a string of a binary tensor is cut short"
local NUMBERS = {}
for kind in ("BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 FP16 FP32 FP64 BF16"):gmatch("%S+") do
  NUMBERS[kind] = true
end

-- Whether the bytes from `at` to `stop` are strings, each behind its length; of one that is not, Triton fails the whole run.
local function are_strings(bytes, at, stop)
  while at + 3 <= stop do
    at = at + 4 + string.unpack("<I4", bytes, at)
  end
  return at == stop + 1
end

-- Where the string ends whose first quote is at `start`.
local function string_end(text, start)
  local at = start + 1
  while true do
    local found = text:find('["\\]', at)
    if not found or text:byte(found) == 34 then
      return found
    end
    at = found + 2
  end
end

-- What is wrong with a shape: Triton allots what it says before it looks at the data, and no value is shorter than a byte.
local function shape_refusal(text, at, most)
  local dims = text:match("^%s*%[([%d%s,]*)%]", at)
  if not dims then
    return "a shape is no list of whole numbers"
  end
  local values = 1.0
  for dim in dims:gmatch("%d+") do
    values = values * tonumber(dim)
    if tonumber(dim) > most or values > most then
      return "a shape has more values than its request has bytes"
    end
  end
end

-- What is wrong with a key, whose colon ends before `at`; `tensor` takes what it says of a binary tensor.
local function key_refusal(key, text, at, most, depth, tensor)
  if key:find("\\u00[0-7]") then
    return "a letter of a key is written as an escape"
  elseif key == "classification" then
    return CLASSIFICATION
  elseif key == "shape" then
    return shape_refusal(text, at, most)
  elseif key == "datatype" and depth == 3 or key == "binary_data_size" and depth == 4 then
    if tensor[key] then
      return "a tensor says its " .. key .. " twice"
    end
    tensor[key] = text:match('^%s*"?([^"%s,}]*)', at)
  end
end

-- What is wrong with a document, and the tensors in it whose values stand behind it.
local function json_refusal(text, most)
  local depth, at, keys, tensors, tensor = 0, 1, 0, {}, {}
  while true do
    local found = text:find('["%[%]{}]', at)
    if not found then
      return nil, tensors
    end
    local char = text:sub(found, found)
    at = found + 1
    if char == '"' then
      local stop = string_end(text, found)
      if not stop then
        return "a string has no end"
      end
      at = stop + 1
      local colon = text:match("^%s*:()", at)
      keys = keys + (colon and 1 or 0)
      local refusal = keys > MOST_KEYS and "more than " .. MOST_KEYS .. " keys"
        or colon and key_refusal(text:sub(found + 1, stop - 1), text, colon, most, depth, tensor)
      if refusal then
        return refusal
      end
    elseif char == "[" or char == "{" then
      depth = depth + 1
      if depth > DEEPEST then
        return "more than " .. DEEPEST .. " lists and objects in one another"
      end
    else
      if depth == 3 then
        tensors[#tensors + 1] = tensor.binary_data_size and tensor or nil
        tensor = {}
      end
      depth = depth - 1
    end
  end
end

-- What is wrong with the values behind a document, which ends before `at`.
local function binary_refusal(body, at, tensors)
  for _, tensor in ipairs(tensors) do
    local size = tensor.binary_data_size:match("^%d+$") and tonumber(tensor.binary_data_size)
    if not size or size > #body - at + 1 then
      return "a tensor has fewer bytes than its binary_data_size, or that is no whole number"
    elseif not NUMBERS[tensor.datatype] and not are_strings(body, at, at + size - 1) then
      return CUT_SHORT
    end
    at = at + size
  end
  return #tensors > 0 and at <= #body and "there are more bytes than binary tensors have" or nil
end

-- The JSON part of a request: all of it, or as much as the header of the binary extension says.
core.register_fetches("http_body", function(txn)
  local body, text = txn.f:req_body(), nil
  local lengths = txn.http:req_get_headers()["inference-header-content-length"]
  if not lengths then
    text = body
  elseif lengths[1] == nil and lengths[0]:match("^%d+$") then
    text = body:sub(1, math.tointeger(tonumber(lengths[0])))
  else
    return "inference-header-content-length is no whole number"
  end
  local refusal, tensors = json_refusal(text, #body)
  return refusal or binary_refusal(body, #text + 1, tensors) or "ok"
end)

-- A whole number of protobuf at `at`, and what follows it; nil where it has no end.
local function varint(bytes, at)
  local value = 0
  for place = 0, 9 do
    local byte = bytes:byte(at + place)
    if not byte then
      return nil
    end
    value = value | (byte & 127) << 7 * place
    if byte < 128 then
      return value, at + place + 1
    end
  end
end

-- The fields of a protobuf message that hold bytes, by number, each a list; nil where it is none.
local function fields(bytes)
  local found, at = {}, 1
  while at <= #bytes do
    local tag, value, size
    tag, at = varint(bytes, at)
    if not tag then
      return nil
    end
    local kind = tag & 7
    if kind == 0 then
      value, at = varint(bytes, at)
    elseif kind == 1 or kind == 5 then
      at = at + (kind == 1 and 8 or 4)
    elseif kind == 2 then
      size, at = varint(bytes, at)
      if not size or size < 0 or size > #bytes - at + 1 then
        return nil
      end
      local number = tag >> 3
      found[number] = found[number] or {}
      table.insert(found[number], bytes:sub(at, at + size - 1))
      at = at + size
    else
      return nil
    end
    if not at or at > #bytes + 1 then
      return nil
    end
  end
  return found
end

local UNREADABLE = "the request is no message that is read here"

-- What is wrong with a ModelInferRequest, and the names of models in it: field 1 is the name; 5 an input, whose field 2 is the
-- data type, and 7 its values; 6 an output, whose field 2 is a parameter, whose field 1 is the key.
local function grpc_refusal(bytes)
  local request = fields(bytes)
  if not request then
    return UNREADABLE
  end
  for _, written in ipairs(request[6] or {}) do
    local output = fields(written)
    if not output then
      return UNREADABLE
    end
    for _, parameter in ipairs(output[2] or {}) do
      local entry = fields(parameter)
      if not entry then
        return UNREADABLE
      end
      for _, key in ipairs(entry[1] or {}) do
        if key == "classification" then
          return CLASSIFICATION
        end
      end
    end
  end
  for place, values in ipairs(request[7] or {}) do
    local kinds = (fields(request[5] and request[5][place] or "") or {})[2] or {}
    if not NUMBERS[kinds[#kinds]] and not are_strings(values, 1, #values) then
      return CUT_SHORT
    end
  end
  return nil, request[1]
end

-- One message that is not compressed, to a model of the list that HAProxy gives.
core.register_fetches("grpc_body", function(txn, models)
  local body = txn.f:req_body()
  if #body < 5 or body:byte(1) ~= 0 or string.unpack(">I4", body, 2) ~= #body - 5 then
    return "a call is one message that is not compressed"
  end
  local refusal, names = grpc_refusal(body:sub(6))
  if refusal then
    return refusal
  end
  local name = names and names[#names] or ""
  if not (" " .. models .. " "):find(" " .. name .. " ", 1, true) then
    return "no model of that name is asked here"
  end
  return "ok"
end)

-- Refuses a call that is longer than HAProxy keeps. It is read to its end first, for what is refused while it is still sent
-- ends as CANCELLED at its sender.
core.register_service("grpc_too_long", "http", function(applet)
  local left = MOST_READ
  while left > 0 do
    local part = applet:receive(65536)
    if part == nil or #part == 0 then
      break
    end
    left = left - #part
  end
  applet:set_status(200)
  applet:add_header("content-type", "application/grpc")
  applet:add_header("grpc-status", "8")
  applet:add_header("grpc-message", "the request is longer than is read here: send fewer texts in one")
  applet:start_response()
end)
