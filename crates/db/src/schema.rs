//! The tables as diesel sees them. What each column means is said in `migrations/`.

diesel::define_sql_function! {
    /// The database's time at the beginning of the transaction. Diesel's own `now` is written
    /// `CURRENT_TIMESTAMP`, which a simulation cannot put another clock in the place of.
    fn now() -> Timestamptz;
}

diesel::table! {
    instances (id) {
        id -> Text,
        service_id -> Text,
        name -> Text,
        url -> Nullable<Text>,
        status -> Text,
        deploy_status -> Nullable<Text>,
        agent_name -> Nullable<Text>,
        conversation_id -> Nullable<Text>,
        invite_url -> Nullable<Text>,
        instructions -> Nullable<Text>,
        created_at -> Timestamptz,
        claimed_at -> Nullable<Timestamptz>,
        source_branch -> Nullable<Text>,
        openrouter_key_hash -> Nullable<Text>,
        agentmail_inbox_id -> Nullable<Text>,
        gateway_token -> Nullable<Text>,
        runtime_image -> Nullable<Text>,
        epoch -> BigInt,
        status_changed_at -> Timestamptz,
        status_actor -> Nullable<Text>,
        status_reason -> Nullable<Text>,
        claim_token -> Nullable<Uuid>,
        claim_expires_at -> Nullable<Timestamptz>,
        failed_claims -> SmallInt,
        put_back_at -> Nullable<Timestamptz>,
        missing_since -> Nullable<Timestamptz>,
        delete_requested_at -> Nullable<Timestamptz>,
        unasked -> Bool,
    }
}

diesel::table! {
    provisions (id) {
        id -> Text,
        name -> Text,
        service_id -> Nullable<Text>,
        volume_id -> Nullable<Text>,
        openrouter_key_hash -> Nullable<Text>,
        agentmail_inbox_id -> Nullable<Text>,
        gateway_token -> Nullable<Text>,
        step -> Text,
        step_began_at -> Timestamptz,
        attempts -> Integer,
        next_attempt_at -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        destroyed -> Array<Text>,
        service_deleted_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    service_fates (service_id) {
        service_id -> Text,
        instance_id -> Text,
        fate -> Text,
        event_id -> BigInt,
    }
}

diesel::table! {
    claim_requests (key) {
        key -> Text,
        fingerprint -> Bytea,
        claim_token -> Uuid,
        instance_id -> Text,
        outcome -> Nullable<Text>,
        joined -> Nullable<Bool>,
        invited -> Nullable<Bool>,
        requested_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    leader_terms (term) {
        term -> BigInt,
        holder -> Text,
        started_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    ticks (id) {
        id -> BigInt,
        term -> BigInt,
        started_at -> Timestamptz,
        ended_at -> Timestamptz,
        complete -> Bool,
        report -> Jsonb,
    }
}

diesel::table! {
    commands (id) {
        id -> BigInt,
        kind -> Text,
        arguments -> Jsonb,
        requested_by -> Text,
        requested_at -> Timestamptz,
        tick_id -> Nullable<BigInt>,
        result -> Nullable<Jsonb>,
        done_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    set_aside (from_table, id) {
        from_table -> Text,
        id -> Text,
        service_id -> Nullable<Text>,
        reason -> Text,
        row -> Jsonb,
        at -> Timestamptz,
    }
}

diesel::table! {
    pool_schema (only_row) {
        only_row -> Bool,
        found -> Array<Text>,
        found_at -> Timestamptz,
        contracted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    railway_limits (only_row) {
        only_row -> Bool,
        heard_at -> Timestamptz,
        hourly_limit -> Nullable<BigInt>,
        remaining -> Nullable<BigInt>,
        resets_at -> Nullable<Timestamptz>,
        blocked_by -> Nullable<Text>,
        blocked_until -> Nullable<Timestamptz>,
        edge_blocks -> Integer,
    }
}
