// A whole Sigstore on loopback, for tests: an OIDC issuer, Fulcio with a CT log, Rekor v1 and v2, and an RFC 3161
// authority. @sigstore/mock makes the certificates, log entries and timestamps; this file gives them the HTTP forms that
// real clients speak, where the mock has others of its own.
//
// Prints its URL on one line when it is ready, and ends when its standard input closes.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import {
  fulcioHandler, initializeCA, initializeCTLog, initializeTLog, initializeTSA,
} from '@sigstore/mock'
import * as jose from 'jose'
import * as pkijs from 'pkijs'

const HOUR = 3_600_000
const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const sha256 = (data) => createHash('sha256').update(data).digest()
const base64 = (data) => Buffer.from(data).toString('base64')

const server = createServer(answer)
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const url = `http://127.0.0.1:${server.address().port}`

const oidcKey = keyPair()
const ctlog = await initializeCTLog(keyPair())
const ca = await initializeCA(keyPair(), ctlog)
const fulcio = fulcioHandler(ca)
const rekorKey = keyPair()
const rekor = await initializeTLog(url, rekorKey)
const late = await initializeTLog(url, rekorKey, new Date(Date.now() + HOUR))
const tsa = await initializeTSA(keyPair())

// --- The OIDC issuer ---------------------------------------------------------------------------------------------

async function token(claims) {
  const now = Math.floor(Date.now() / 1000)
  const all = { iss: url, aud: 'sigstore', sub: 'https://people.example/ada', iat: now, exp: now + 600, ...claims }
  return new jose.SignJWT(all).setProtectedHeader({ alg: 'ES256' }).sign(oidcKey.privateKey)
}

const discovery = () => ({
  issuer: url, authorization_endpoint: `${url}/auth`, token_endpoint: `${url}/token`,
})

// --- Fulcio ------------------------------------------------------------------------------------------------------

// What the real Fulcio makes of the claims of CI providers:
// https://github.com/sigstore/fulcio/blob/main/config/identity/config.yaml
function identity(claims) {
  if (claims.job_workflow_ref) return `https://github.com/${claims.job_workflow_ref}`
  if (claims.ci_config_ref_uri) return `https://${claims.ci_config_ref_uri}`
  return claims.email ?? claims.sub
}

async function certificate(request, body) {
  const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '')
  const { payload } = await jose.jwtVerify(bearer, oidcKey.publicKey, { audience: 'sigstore' })
  const pem = Buffer.from(JSON.parse(body).certificateSigningRequest, 'base64').toString()
  const unsigned = new jose.UnsecuredJWT({ ...payload, sub: identity(payload) }).encode()
  const made = await fulcio.fn(JSON.stringify({
    certificateSigningRequest: pem, credentials: { oidcIdentityToken: unsigned },
  }))
  return [made.statusCode, made.response]
}

// --- Rekor -------------------------------------------------------------------------------------------------------

// A dsse 0.0.1 entry holds digests and signatures of the proposed envelope, not the envelope.
async function rekorV1(log, body) {
  const { spec } = JSON.parse(body)
  const { envelope, verifiers } = spec.proposedContent
  const parsed = JSON.parse(envelope)
  const digest = (data) => ({ algorithm: 'sha256', value: sha256(data).toString('hex') })
  const entry = {
    apiVersion: '0.0.1', kind: 'dsse',
    spec: {
      envelopeHash: digest(envelope),
      payloadHash: digest(Buffer.from(parsed.payload, 'base64')),
      signatures: parsed.signatures.map((one, n) => ({ signature: one.sig, verifier: verifiers[n] })),
    },
  }
  return [201, JSON.stringify(await log.log(entry))]
}

// Rekor v2 answers with a TransparencyLogEntry without a time of its own.
async function rekorV2(log, body) {
  const { digest, signature } = JSON.parse(body).hashedRekordRequestV002
  const entry = {
    apiVersion: '0.0.2', kind: 'hashedrekord',
    spec: { hashedRekordV002: { data: { algorithm: 'SHA2_256', digest }, signature } },
  }
  const { canonicalizedBody, logId, inclusionProof } = await log.logV2(entry)
  // Each entry of the mock is the only one of its tree, so its index there is 0.
  return [201, JSON.stringify({
    logIndex: '0', logId: { keyId: base64(logId.keyId) },
    kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
    canonicalizedBody: base64(canonicalizedBody),
    inclusionProof: {
      logIndex: '0', treeSize: '1', hashes: [],
      rootHash: base64(sha256(Buffer.concat([Buffer.from([0]), canonicalizedBody]))),
      checkpoint: inclusionProof.checkpoint,
    },
  })]
}

// --- The time-stamping authority ---------------------------------------------------------------------------------

async function timestamp(body) {
  const request = pkijs.TimeStampReq.fromBER(new Uint8Array(body))
  const { hashAlgorithm, hashedMessage } = request.messageImprint
  const info = tsa.tstInfo({
    artifactHash: hashedMessage.valueBlock.valueHexView, hashAlgorithmOID: hashAlgorithm.algorithmId,
    nonce: 1, policyOID: '1.3.6.1.4.1.57264.2',
  })
  info.nonce = request.nonce // the mock's own way would round it to a double
  const signed = await tsa.signedData(info, request.certReq ?? false)
  const content = new pkijs.ContentInfo({ contentType: '1.2.840.113549.1.7.2', content: signed.toSchema(true) })
  const response = new pkijs.TimeStampResp({
    status: new pkijs.PKIStatusInfo({ status: 0 }),
    timeStampToken: new pkijs.ContentInfo({ schema: content.toSchema() }),
  })
  return [201, Buffer.from(response.toSchema().toBER(false))]
}

// --- What clients are configured with ----------------------------------------------------------------------------

const validFor = { start: new Date(Date.now() - HOUR).toISOString() }
const authority = (subject, certificates) => ({
  subject: { commonName: subject, organization: 'sigstore.mock' }, uri: url, validFor,
  certChain: { certificates: certificates.map((raw) => ({ rawBytes: base64(raw) })) },
})
const logInstance = (publicKey) => ({
  baseUrl: url, hashAlgorithm: 'SHA2_256', logId: { keyId: base64(sha256(publicKey)) },
  publicKey: { rawBytes: base64(publicKey), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor },
})
const service = (path, majorApiVersion = 1) => ({ url: url + path, majorApiVersion, validFor, operator: 'test' })

function trust(name) {
  const log = { v1: service('/rekor'), v2: service('/rekor', 2), late: service('/late') }[name]
  return {
    mediaType: 'application/vnd.dev.sigstore.clienttrustconfig.v0.1+json',
    trustedRoot: {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [logInstance(rekor.publicKey)],
      certificateAuthorities: [authority('sigstore', [ca.rootCertificate])],
      ctlogs: [logInstance(ctlog.publicKey)],
      timestampAuthorities: [authority('tsa', [tsa.intCertificate, tsa.rootCertificate])],
    },
    signingConfig: {
      mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
      caUrls: [service('')], oidcUrls: [service('')],
      rekorTlogUrls: [log], rekorTlogConfig: { selector: 'ANY' },
      // Rekor v2 tells no time, so a timestamp has to.
      tsaUrls: name === 'v2' ? [service('/api/v1/timestamp')] : [], tsaConfig: { selector: 'ANY' },
    },
  }
}

// --- HTTP --------------------------------------------------------------------------------------------------------

const counts = { certificates: 0, discoveries: 0, entries: 0 }
let failing = 0

function count(name) {
  if (failing > 0) {
    failing -= 1
    throw Object.assign(new Error('out of order'), { status: 503 })
  }
  counts[name] += 1
}

async function route(request, at, body) {
  switch (`${request.method} ${at.pathname}`) {
    case 'GET /.well-known/openid-configuration':
      count('discoveries')
      return [200, JSON.stringify(discovery())]
    case 'GET /auth': {
      const back = new URL(at.searchParams.get('redirect_uri'))
      if (!back.protocol.startsWith('http')) return [200, '{"code":"out-of-band"}']
      back.searchParams.set('code', 'browser')
      back.searchParams.set('state', at.searchParams.get('state'))
      return [302, '', { location: back.href }]
    }
    case 'POST /token':
      return [200, JSON.stringify({ access_token: await token({}) })]
    case 'POST /mint':
      return [200, await token(JSON.parse(body))]
    case 'GET /github': {
      // What ACTIONS_ID_TOKEN_REQUEST_URL answers.
      if (request.headers.authorization !== 'bearer runner') return [403, '']
      const claims = { aud: at.searchParams.get('audience'), ...JSON.parse(at.searchParams.get('claims') ?? '{}') }
      return [200, JSON.stringify({ value: await token(claims) })]
    }
    case 'GET /google':
      // What the metadata server of a machine at Google answers.
      if (request.headers['metadata-flavor'] !== 'Google') return [403, '']
      return [200, await token({ aud: at.searchParams.get('audience'), iss: 'https://accounts.google.com',
        email: 'trainer@google.example' })]
    case 'POST /api/v2/signingCert':
      count('certificates')
      return certificate(request, body)
    case 'POST /rekor/api/v1/log/entries':
      count('entries')
      return rekorV1(rekor, body)
    case 'POST /late/api/v1/log/entries':
      return rekorV1(late, body)
    case 'POST /rekor/api/v2/log/entries':
      count('entries')
      return rekorV2(rekor, body)
    case 'POST /api/v1/timestamp':
      return timestamp(body)
    case 'GET /trust':
      return [200, JSON.stringify(trust(at.searchParams.get('rekor')))]
    case 'GET /counts':
      return [200, JSON.stringify(counts)]
    case 'POST /fail':
      failing = Number(at.searchParams.get('times'))
      return [200, '']
    default:
      return [404, '']
  }
}

async function answer(request, response) {
  try {
    const parts = []
    for await (const part of request) parts.push(part)
    const [status, body, headers] = await route(request, new URL(request.url, url), Buffer.concat(parts))
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  } catch (error) {
    response.writeHead(error.status ?? 400).end(JSON.stringify({ code: 400, message: String(error.message) }))
  }
}

process.stdin.resume().on('close', () => process.exit(0)).on('end', () => process.exit(0))
console.log(url)
