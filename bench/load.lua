-- wrk's script: sends the requests of a file in turn, and reports in JSON on the last line of its output.
--
--   wrk … http://127.0.0.1:PORT -- FILE RUN [check]
--
-- FILE has one request per line: method, path, token and body, separated by tabs. The ten characters `__unique__`
-- are replaced with RUN (four digits) and a number (six digits). With `check`, every response is checked, which
-- makes wrk slower, so do not use it to measure.

local requests, place, number, run = {}, 0, 0, nil

function init(args)
  local check
  run, check = args[2], args[3]
  for line in io.lines(args[1]) do
    local method, path, token, body = line:match("^(%S+)\t(%S+)\t(%S+)\t(.*)$")
    local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
    local text = wrk.format(method, path, headers, body ~= "" and body or nil)
    table.insert(requests, { text = text, unique = text:find("__unique__", 1, true) })
  end
  if check then
    response = function(status, _, body)
      if status ~= 200 or body:find('"errors"', 1, true) then
        print("BAD " .. status .. " " .. body:sub(1, 500):gsub("\n", " "))
        wrk.thread:stop()
      end
    end
  end
end

function request()
  place = place % #requests + 1
  local asked = requests[place]
  if not asked.unique then
    return asked.text
  end
  number = number + 1
  local text = asked.text:gsub("__unique__", string.format("%s%06d", run, number))
  return text
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
