// POST /topup: check it, give it an id, queue it durably, answer 202.
import { randomUUID } from 'node:crypto'
import { Queue } from 'bullmq'
import express from 'express'
import { Redis } from 'ioredis'

const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const queue = new Queue('topups', { connection, defaultJobOptions: { attempts: 3, removeOnComplete: 1000 } })
const app = express()
app.disable('x-powered-by')
app.use(express.json())
app.post('/topup', async (request, response) => {
  const { phone, amount, provider } = request.body
  if (!/^\d{10}$/.test(phone) || !(amount > 0) || provider !== 'LATCOM') {
    response.status(422).json({ success: false, error: 'phone, amount or provider' })
    return
  }
  const jobId = request.get('idempotency-key') ?? randomUUID()
  await queue.add('topup', { topup_id: jobId, phone, amount, provider }, { jobId })
  response.status(202).json({ success: true, topup_id: jobId, status: 'queued' })
})
app.listen(Number(process.env.PORT), '127.0.0.1')
