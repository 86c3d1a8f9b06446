// Takes a topup off the queue, pays it at the provider, writes one row.
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'

const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const provider = process.env.PROVIDER_URL
const login = await fetch(`${provider}/api/dislogin`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ username: 'b', password: 'b', dist_api: 'b', user_uid: 'b' }),
})
const { access } = await login.json()
const headers = { 'content-type': 'application/json', authorization: `Bearer ${access}` }

async function pay(job) {
  const { topup_id, phone, amount } = job.data
  const answer = await fetch(`${provider}/api/tn/fast`, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      targetMSISDN: phone, dist_transid: topup_id, operator: 'TELCEL', country: 'MEXICO', currency: 'MXN',
      amount, productId: 'XOOM_10_MXN', skuID: '0', service: 2,
    }),
  })
  const result = await answer.json()
  await pool.query(
    `INSERT INTO topups (topup_id, phone, amount, provider, status, evidence) VALUES ($1, $2, $3, 'LATCOM', $4, $5)
     ON CONFLICT (topup_id) DO NOTHING`,
    [topup_id, phone, amount, result.status, JSON.stringify(result)],
  )
}

new Worker('topups', pay, { connection, concurrency: Number(process.env.CONCURRENCY) })
