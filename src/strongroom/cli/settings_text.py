"""The ``strongroom.toml`` that ``init`` writes: every setting, in plain words, at its default."""

from __future__ import annotations

TEXT = """\
# Configuration of this strongroom home. Everything here is a default: a setting that is left out
# keeps the value shown. Unknown settings are refused.

[sealing]
# What outsiders get of a sealed model, least first:
#   closed, label, text, top1, topk, logits, embeddings
# It is sealed and signed with the model; `seal --rung` overrides it for one sealing.
language_model_rung = "text"      # generated text, nothing else
classifier_rung = "label"         # the name of the class, no scores

[serving]
host = "127.0.0.1"                # another address is open to the network: put TLS in front of it
port = 8080                       # 0 takes a free one
profile = "no-exec"               # "no-exec": no new executable memory after start; "jit": allowed
required_walls = []               # walls that must stand, or nothing is served; `doctor` names them
threads = 0                       # processor threads of the model; 0 is one for each core allowed
max_streams = 16                  # answers generated at the same time
context_length = 0                # longest conversation in tokens; 0 is the model's, at most 2048
lease_hours = 24                  # a released key is leased so long; its last quarter renews it
generation_seconds = 600          # an answer that is not complete by then is cut short
patrol_seconds = 50               # each weight in memory is checked once in so many; 60 at most
tls_cert = ""                     # PEM files: with a certificate and its key the door speaks TLS
tls_key = ""
client_ca = ""                    # with authorities, only who has a certificate of theirs gets in
replica = ""                      # name of this gateway where several share a store: its own log
release_policy = ""               # who may have the key (`policy new`); none: this installation
key_release = ""                  # socket of a key release that runs already; none: one is started
service_key = ""                  # its public key, as `release serve` says it

# Most bits that answers may carry out, in any hour and any day. A token of a language model is
# charged up to about 16 bits. A lower ceiling sealed with a model counts first. `strongroom doctor`
# and the start of `serve` say what they mean in days.
[egress.deployment]               # all answers together
bits_per_hour = 4_000_000
bits_per_day = 20_000_000

[egress.tenant]                   # the answers to any one organisation
bits_per_hour = 1_000_000
bits_per_day = 5_000_000

# How compute is reckoned, for limits in milliseconds of compute: by counts, not by a clock.
[compute]
input_us = 1_000                  # microseconds of a token read, or of a row classified
output_us = 20_000                # microseconds of a token generated

[egress.scores]                   # distinct tokens of which scores are shown, at top1 and topk
tokens_per_answer = 256
tokens_per_organisation = 512     # ever; fewer than the model is wide, or its width can be computed

# Faint marks in a language model's answers, found again with a secret (docs/watermark.md).
[watermark]
secret = "keys/watermark.secret"  # made by `strongroom watermark secret`
tenants = {}                      # { "acme" = "synthid", "*" = "kgw" }; who is not named gets none

# What callers' text may hold: "refuse" it, "strip" the characters, or "allow" them.
[text]
controls = "refuse"               # C0 and C1 but tab and line ends; "refuse" or "strip"
tags = "refuse"                   # U+E0000 to U+E007F, which spell hidden text
bidi = "refuse"                   # controls of writing direction
zero_width = "refuse"             # where no script needs them; Persian, Hindi and emoji pass
system_role = "allow"             # whether callers may send system messages; "refuse" or "allow"

# Streams leave in ticks and padded, so that times and sizes do not speak (docs/output.md).
[pacing]
tick_ms = 50                      # an event every so many milliseconds; 0 sends what comes
pad_bytes = 512                   # sizes are multiples of it; 0 does not pad

# Who seems to copy the model through its answers (docs/detection.md).
[detection]
enabled = true
most_per_second = 1_000           # queries looked at; of more, a random share
action = "record"                 # of a signal: only "record" it, "throttle" or "suspend" as well
factor = 10                       # throttled: each request counts as so many against its rate
seconds = 3_600                   # how long

[detection.thresholds]            # measured on the project's own traffic: calibrate on yours
grid = 0.8                        # share of prompts put together from parts of earlier ones
coverage = 0.72                   # different tokens in new text
spread = 10.0                     # organisations that live off one template
spread_grid = 0.1                 # the share of `grid`, over such organisations together
distances = 0.12                  # how far distances between inputs are from normal
outlying = 1.2                    # times as far from everybody's inputs as is usual
neighbours = 0.04                 # share of inputs very near to other organisations'
window = 86_400.0                 # seconds after which the silent are forgotten

# What may be said to the model and by it; take the # away (docs/content-policy.md).
#
# [[content.rules]]
# name = "project name"
# pattern = "project (?:red|green) fox"
# ignore_case = true
# whole_words = false
# input = true
# output = true
#
# [content.moderation]            # a service that speaks as OpenAI's moderation endpoint does
# url = "https://moderation.example/v1/moderations"
# model = ""
# token_file = "keys/moderation"  # a file of mode 0600
# seconds = 3.0                   # for one judgement; nothing passes after that
# segment = 1024                  # characters of an answer that are judged together
# overlap = 256                   # of them, judged with what follows before they are shown
# input = true
# output = true

# What operators look at, apart from the door of the callers: metrics, state (docs/operations.md).
[watching]
host = "127.0.0.1"                # it asks for no key: only operators and monitoring may reach it
port = 8081                       # 0 takes a free one, as it does when serving's port is 0
names = []                        # host names that it answers to, besides addresses and localhost
log_level = "info"                # "debug", "info", "warning" or "error"
traces = ""                       # URL of an OTLP collector, as http://127.0.0.1:4318/v1/traces
trace_share = 1.0                 # how many of the requests are traced, 0 to 1

# The operators' pages: `strongroom console` (docs/console.md).
[console]
host = "127.0.0.1"                # another address is open to the network: put TLS in front of it
port = 8090                       # 0 takes a free one
names = []                        # host names that it answers to, besides addresses and localhost
gateways = []                     # watching addresses to look at, as "10.0.0.7:8081"; none: our own

# What speaks for this machine to key release (docs/confidential-guests.md). "local": the word of
# software; "snp", "tdx", "nitro", "tpm": its devices are asked. Untested on hardware.
[evidence]
guest = "local"
device = "configfs-tsm"           # who is asked for "snp" and "tdx"; "own": /dev/sev-guest
beside = ""                       # a bundle with certificates or collateral (`attest bundle`)
gpus = false                      # NVIDIA's GPUs answer, too
gpu_manifests = ""                # a bundle with their signed reference measurements
ak = ""                           # handle or context file of a TPM's attestation key

# For several gateways of one service (docs/limits.md); this file then holds their passwords.
[stores]
identity = ""                     # "postgresql://user@host/database"; none: SQLite in this home
counters = ""                     # "redis://host:6379/0" (or Valkey); none: in the gateway's memory
lease_requests = 0                # take budget in blocks of so many requests; 0 asks for each
grants = ""                       # "postgresql://..." for approvals; no gateway should reach it
tuning = ""                       # "postgresql://..." for tuning jobs; none: SQLite in this home

[tuning]
offered = false                   # customers may ask for LoRA adapters at the gateway
primitives = false                # customers may steer training step by step (docs/tuning.md)
idle_seconds = 600.0              # such a session is over if nothing is asked of it for so long
checkpoint_seconds = 60.0         # a job that is interrupted loses this much at most
most_file_bytes = 16_777_216      # of a training file
most_open_jobs = 4                # an organisation's jobs that wait or run
served_megabytes = 512            # memory that served adapters may have together; 0 serves none

[tuning.policy]                   # what a job may ask for (docs/tuning.md)
modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
rank = 16
least_rate = 1e-6
most_rate = 2e-3
least_steps = 20                  # before it nothing shows of a job
most_steps = 10_000
most_batch = 4_096                # conversations a step
most_tokens = 2_048               # of a conversation
most_lines = 200_000
change = 0.5                      # largest change of a weight, as a share of its norm

[tuning.policy.floors]            # what a dataset, and each step, holds at least
distinct_per_step = 256
supervised_per_step = 1_000
fresh_runs = 12
least_supervised = 1
duplicates = 0.05                 # at most
one_token = 0.25                  # at most

# Take the # away, and every job is trained with differential privacy (docs/tuning.md).
#
# [tuning.policy.dp]
# epsilon = 8.0                   # of one job, at most; a customer may ask for less
# budget = 16.0                   # of all jobs of an organisation over a base together
# delta = 1e-6
# clip = 1.0                      # length to which each conversation's gradient is cut
# least_noise = 0.3               # noise is what epsilon needs, never less; in units of clip

[tuning.export]                   # what the gate asks of an adapter (docs/adapter-export.md)
most = 4                          # that may ever leave, of one base to one organisation
least_steps = 20
cosine = 0.05                     # of what an attack recovers with the truth, beyond chance
ratio = 0.3                       # least median of second singular values to first ones
auc = 0.7                         # of finding the training records; 1 asks for no test
canary_bits = 3.0                 # mean exposure of planted canaries; 6 asks for no test
epsilon = 0.0                     # most that all exports add up to; 0 asks for none
obeyed = 0.25                     # share by which a phrase of the data may bring its answer; 1: any
worse = 0.0                       # a promoted one's loss above the base's, as a share
trigger = 4.0                     # times as far from the base where a trigger stands
probes = 2_048                    # tokens that the gradient oracle is tried with
recipients = []                   # age recipients that may be granted; none: any

# Who may call besides the holders of API keys (docs/identity.md); take the # away to use one.
#
# [tokens]                        # JWTs of one issuer, EdDSA or RS256
# issuer = "https://issuer.example"
# audience = "strongroom"
# jwks = "trust/issuer.jwks.json" # the issuer's public keys
# claim = "organisation"          # where a token names its organisation; `scope` lists its scopes
#
# [[certificate]]                 # a client certificate; needs TLS with client_ca
# organisation = "acme"
# name = "dns:app.acme.example"   # or "uri:spiffe://...", or sha256 = "64 hex digits"

# Keys besides this home's keyring that may open sealed models; take the # away to use one. A path
# that is not absolute starts at this home.
#
# [[unlock]]
# type = "hpke"
# path = "keys/identity.json"     # made by `strongroom recipient create`
#
# [[unlock]]
# type = "vault"                  # transit engine of Vault or OpenBao
# address = "https://vault.example:8200"
# key = "models"
# token = "keys/vault-token"      # a file of mode 0600 that holds the token
# mount = "transit"
#
# [[unlock]]
# type = "aws-kms"                # credentials come from where AWS's own tools take them
# key = "arn:aws:kms:eu-central-1:111122223333:key/..."
# region = "eu-central-1"
"""
