-- description: How much better or worse the ensembles are at each external hospital than at each development hospital.
-- partitioned by: none
-- group: evaluation
-- columns: protocol String, institution String, development_institution String, model String, positive_class String
-- columns: metric String, value_external Float64, value_internal Float64, difference Float64, ci_low Float64
-- columns: ci_high Float64, verdict String, n_patients_external Int64, n_patients_internal Int64, reason String
-- column institution: the external hospital
-- column development_institution: the hospital whose internal test it is held against
-- column value_external: of the metric at the external hospital, mean of the folds, each crop once
-- column value_internal: the same on the internal test
-- column difference: value_external - value_internal
-- column ci_low: lower end of its 95 % interval, by both intervals over resampled patients (Zou and Donner, Stat Med 2008)
-- column ci_high: upper end of the same interval
-- column verdict: higher or lower (0 is outside the interval) or open; null: see reason
-- column n_patients_external: patients behind value_external
-- column n_patients_internal: patients behind value_internal
-- column reason: why there is no difference or interval; null where there is one
with figures as (
    select *
    from external_metrics
    where fold = 'mean' and ci_method = 'patient_bootstrap'
),

internal as (
    select *
    from test_metrics
    where fold = 'mean' and ci_method = 'patient_bootstrap'
),

beside as (
    select
        figures.protocol,
        figures.institution,
        internal.institution as development_institution,
        figures.model,
        figures.positive_class,
        figures.metric,
        figures.value as value_external,
        internal.value as value_internal,
        figures.value - internal.value as difference,
        difference - sqrt((figures.value - figures.ci_low) ** 2 + (internal.ci_high - internal.value) ** 2) as ci_low,
        difference + sqrt((figures.ci_high - figures.value) ** 2 + (internal.value - internal.ci_low) ** 2) as ci_high,
        figures.n_patients as n_patients_external,
        internal.n_patients as n_patients_internal,
        coalesce('there: ' || figures.reason, 'internal test: ' || internal.reason) as reason
    from figures
    inner join internal
        on
            figures.protocol = internal.protocol
            and figures.model = internal.model
            and figures.positive_class = internal.positive_class
            and figures.metric = internal.metric
)

select
    protocol,
    institution,
    development_institution,
    model,
    positive_class,
    metric,
    value_external,
    value_internal,
    difference,
    ci_low,
    ci_high,
    case
        when isnan(ci_low) or isnan(ci_high) then null
        when ci_low > 0 then 'higher'
        when ci_high < 0 then 'lower'
        else 'open'
    end as verdict,
    n_patients_external,
    n_patients_internal,
    reason
from beside
order by protocol, institution, development_institution, model, positive_class, metric
