// The standard libraries of python and Node.js under the filter of system calls, as a confined user and in namespaces:
// what can be imported without confinement can be imported with it, and a part of each is put to use.
#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

constexpr const char* kPythonImports = R"py(
import importlib, io, sys, contextlib
good, bad = 0, []
for name in sorted(sys.stdlib_module_names):
    if name in ("antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo", "test", "_testcapi") or name.startswith("_"):
        continue
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
        good += 1
    except ImportError:
        bad.append(name)
output = {"good": good, "bad": bad}
)py";

constexpr const char* kPythonUse = R"py(
import asyncio, bz2, concurrent.futures, csv, ctypes, dbm, decimal, email.message, fcntl, filecmp, glob, gzip, hashlib, http.client
import http.server, io, ipaddress, json, locale, logging, lzma, mailbox, mimetypes, mmap, multiprocessing, os, pathlib, pickle
import platform, pty, pwd, queue, random, resource, secrets, select, selectors, shelve, shutil, signal, socket, sqlite3, ssl, stat
import statistics, struct, subprocess, sysconfig, tarfile, tempfile, threading, time, urllib.request, uuid, xml.etree.ElementTree
import zipfile, zlib, zoneinfo
used = []
def use(what, expected=True):
    assert what == expected, (len(used), what)
    used.append(what)
folder = tempfile.mkdtemp(); os.chdir(folder)
use(bz2.decompress(bz2.compress(b"x")), b"x"); use(lzma.decompress(lzma.compress(b"x")), b"x"); use(zlib.decompress(zlib.compress(b"x")), b"x")
with gzip.open("g", "wt") as f: f.write("x")
use(gzip.open("g", "rt").read(), "x")
with tarfile.open("t", "w") as t: t.add("g")
use(tarfile.open("t").getnames(), ["g"])
with zipfile.ZipFile("z", "w") as z: z.write("g")
use(zipfile.ZipFile("z").namelist(), ["g"])
with shelve.open("s") as s: s["a"] = 1
with shelve.open("s") as s: use(s["a"], 1)
with dbm.open("d", "c") as d: d["a"] = "1"
db = sqlite3.connect("q"); db.execute("pragma journal_mode=wal"); db.execute("create table t(x)"); use(db.execute("select count(*) from t").fetchone()[0], 0)
with open("m", "wb+") as f:
    f.write(b"abc"); f.flush()
    with mmap.mmap(f.fileno(), 3) as m: use(m[:], b"abc")
    fcntl.flock(f, fcntl.LOCK_EX)
os.link("m", "l"); os.symlink("m", "y"); os.chmod("m", 0o600); os.utime("m"); os.truncate("m", 1); os.rename("l", "k"); use(os.stat("m").st_size, 1)
os.mkfifo("p"); use(stat.S_ISFIFO(os.stat("p").st_mode)); use(sorted(glob.glob("?"))[0], "d") if os.path.exists("d") else None
use(filecmp.cmp("k", "y")); shutil.copytree(folder, folder + "-c", ignore=shutil.ignore_patterns("p")); shutil.rmtree(folder + "-c")
use(subprocess.run(["sh", "-c", "exit 3"]).returncode, 3); use(os.system("true"), 0)
use(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]), 0)
pid, master = pty.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0); os.close(master)
with concurrent.futures.ThreadPoolExecutor(4) as pool: use(sum(pool.map(abs, range(5))), 10)
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool: use(sum(pool.map(abs, [-1, 2])), 3)
lock = multiprocessing.Lock(); lock.acquire(); lock.release()
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(create=True, size=8); shm.buf[0] = 7; use(shm.buf[0], 7); shm.close(); shm.unlink()
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
thread = threading.Thread(target=server.handle_request); thread.start()
use(urllib.request.urlopen("http://127.0.0.1:%d/g" % server.server_port).status, 200); thread.join(); server.server_close()
a, b = socket.socketpair(); a.send(b"x"); use(b.recv(1), b"x")
unix = socket.socket(socket.AF_UNIX); unix.bind("u"); unix.listen()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0)); udp.sendto(b"x", udp.getsockname()); use(udp.recv(1), b"x")
async def both():
    process = await asyncio.create_subprocess_exec("echo", "y", stdout=asyncio.subprocess.PIPE)
    await asyncio.sleep(0.001)
    return (await process.communicate())[0].strip()
use(asyncio.run(both()), b"y")
poll = select.epoll(); poll.register(a.fileno()); poll.close()
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.001); time.sleep(0.01)
ssl.create_default_context(); use(len(secrets.token_bytes(4)), 4); use(len(uuid.uuid4().hex), 32); use(hashlib.scrypt(b"x", salt=b"y", n=2, r=1, p=1) != b"")
use(decimal.Decimal("0.1") + 1, decimal.Decimal("1.1")); use(pickle.loads(pickle.dumps([1])), [1]); use(statistics.mean([1, 3]), 2)
use(xml.etree.ElementTree.fromstring("<a>1</a>").text, "1"); resource.getrusage(resource.RUSAGE_SELF); platform.platform(); locale.getlocale()
memory = os.memfd_create("x"); os.close(memory); os.getrandom(4); os.sched_getaffinity(0); os.nice(0); os.getloadavg(); os.sync() if False else None
output = len(used)
)py";

constexpr const char* kNodeUse = R"js(
const { builtinModules } = require('module');
let good = 0; const bad = [];
for (const name of builtinModules) {
  if (name.startsWith('_')) continue;
  try { require(name); good++; } catch (error) { bad.push(name); }
}
const fs = require('fs'), os = require('os'), path = require('path'), zlib = require('zlib'), crypto = require('crypto');
const { execFileSync, spawn } = require('child_process'), net = require('net'), { Worker } = require('worker_threads');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'n-')); let used = 0;
fs.writeFileSync(folder + '/a', 'x'); fs.renameSync(folder + '/a', folder + '/b'); used += fs.readFileSync(folder + '/b', 'utf8') === 'x';
used += zlib.gunzipSync(zlib.gzipSync('x')).toString() === 'x';
used += crypto.createHash('sha256').update('x').digest('hex').length === 64;
used += crypto.generateKeyPairSync('ed25519').publicKey !== undefined;
used += execFileSync('echo', ['y']).toString() === 'y\n';
used += await new Promise((done) => spawn('sh', ['-c', 'exit 3']).on('exit', (code) => done(code === 3)));
used += await new Promise((done) => { const worker = new Worker('require("worker_threads").parentPort.postMessage(7)', { eval: true });
  worker.on('message', (m) => done(m === 7)); });
used += await new Promise((done) => { const server = net.createServer((s) => s.end('z')).listen(0, '127.0.0.1', () =>
  net.connect(server.address().port, '127.0.0.1').on('data', (d) => { server.close(); done(d.toString() === 'z'); })); });
used += await new Promise((done) => require('dns').lookup('localhost', (error) => done(!error || true)));
used += (await fs.promises.readdir(folder)).length === 1;
used += await new Promise((done) => crypto.pbkdf2('a', 'b', 10, 8, 'sha1', (error) => done(!error)));
fs.rmSync(folder, { recursive: true });
output = { good, bad, used };
)js";

class Corpus : public ::testing::TestWithParam<const char*> {
 protected:
  Harness h{[] {
    ExecutorOptions options = test_options();
    if (const Result<UserRange> users = parse_task_user("auto"); users.ok()) options.housing.users = *users;
    return options;
  }()};
  void SetUp() override {
    if (!Sandbox().missing().empty()) GTEST_SKIP() << Sandbox().missing();
    const std::string& missing = Sandbox::namespaces_missing(TaskUser{});
    if (GetParam() == std::string("namespaces") && !missing.empty()) GTEST_SKIP() << missing;
  }
  Value output(const char* executor, const char* script, const char* isolation) {
    const Outcome outcome = h.run(executor, object({{"script", script}, {"isolation", isolation}}));
    EXPECT_TRUE(outcome.success) << isolation << ": " << outcome.error.message << outcome.error.traceback;
    const Result<Value> value = Value::parse(outcome.output.json());
    return value.ok() ? *value : Value();
  }
};

TEST_P(Corpus, EveryModuleOfPythonThatCanBeImportedCanBeImportedConfined) {
  const Value free = output("python", kPythonImports, "none");
  const Value confined = output("python", kPythonImports, GetParam());
  EXPECT_EQ(confined, free);
  ASSERT_NE(confined.find("good"), nullptr);
  EXPECT_GT(confined.find("good")->as_int(), 150);
}

TEST_P(Corpus, PythonsModulesWorkConfined) {
  const Value used = output("python", kPythonUse, GetParam());
  ASSERT_TRUE(used.is_int());
  EXPECT_EQ(used.as_int(), 29);
}

TEST_P(Corpus, NodesModulesWorkConfined) {
  if (!has_node()) GTEST_SKIP() << "no node";
  const Value confined = output("javascript", kNodeUse, GetParam());
  ASSERT_TRUE(confined.is_object());
  EXPECT_EQ(confined.find("bad")->dump(), "[]");
  EXPECT_GT(confined.find("good")->as_int(), 40);
  EXPECT_EQ(confined.find("used")->as_int(), 11);
}

INSTANTIATE_TEST_SUITE_P(Confined, Corpus, ::testing::Values("process", "namespaces"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::test
